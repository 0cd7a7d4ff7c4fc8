package files

import (
	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

const (
	// minHole is the size from which a hole is worth its place in the entry;
	// smaller ones are read as the zeros they are.
	minHole = 32 << 10
	// maxHoles bounds the entry of a file that is more hole than file.
	maxHoles = 16384
)

// awaitWrites waits for the end of the writes and truncations of a file that are under way.
// A write moves the times at its beginning; the content that it has yet to change would be
// taken for what goes with them. Whoever comes later moves them again. (To seek for data
// takes the inode's lock on ext4, btrfs and F2FS; on XFS to read does.)
func awaitWrites(fd int) { _, _ = unix.Seek(fd, 0, unix.SEEK_DATA) }

// holesOf returns where the file has no data, as far as that is worth it. A
// filesystem that cannot tell has no holes.
func holesOf(fd int, st *stat) []tree.Extent {
	if st.blocks*512 >= st.size {
		return nil
	}
	var holes []tree.Extent
	size := int64(st.size)
	for at := int64(0); at < size && len(holes) < maxHoles; {
		hole, err := unix.Seek(fd, at, unix.SEEK_HOLE)
		if err != nil || hole >= size {
			break
		}
		data, err := unix.Seek(fd, hole, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && data > size {
			data = size // a hole to the end
		} else if err != nil {
			break
		}
		if data-hole >= minHole {
			holes = append(holes, tree.Extent{Offset: uint64(hole), Length: uint64(data - hole)})
		}
		at = max(data, hole+1)
	}
	return holes
}

// dataOf returns the ranges between the holes of a file of that size.
func dataOf(size uint64, holes []tree.Extent) []tree.Extent {
	var data []tree.Extent
	var at uint64
	for _, h := range holes {
		if h.Offset > at {
			data = append(data, tree.Extent{Offset: at, Length: h.Offset - at})
		}
		at = h.Offset + h.Length
	}
	if size > at {
		data = append(data, tree.Extent{Offset: at, Length: size - at})
	}
	return data
}
