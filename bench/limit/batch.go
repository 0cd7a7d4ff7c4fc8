package limit

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"holdfast/bench/disk"
)

// batchSize is how much data is handled as one: small files together, large ones in pieces.
const batchSize = 1 << 20

// A batch is a piece of the corpus and, once stored, its place.
type batch struct {
	parts  []part
	packed bool // by zstd
	pack   int
	offset int64
	length int
}

// A part is a range of one file.
type part struct {
	file   int // its place among the files
	offset int64
	length int
}

// batches divides files into batches, holes left out.
func batches(root string, files []found) ([]batch, error) {
	var all []batch
	var open batch
	room := batchSize
	flush := func() {
		if len(open.parts) > 0 {
			all = append(all, open)
		}
		open, room = batch{}, batchSize
	}
	for i, file := range files {
		if packed := compressible(file.path); open.packed != packed {
			flush()
			open.packed = packed
		}
		extents := []disk.Extent{{End: file.size}}
		if file.sparse {
			var err error
			if extents, err = disk.Extents(filepath.Join(root, file.path)); err != nil {
				return nil, err
			}
		}
		for _, e := range extents {
			for at := e.Start; at < e.End || file.size == 0; {
				length := int(min(int64(room), e.End-at))
				open.parts = append(open.parts, part{i, at, length})
				room -= length
				at += int64(length)
				if room == 0 {
					flush()
					open.packed = compressible(file.path)
				}
				if file.size == 0 {
					break
				}
			}
		}
	}
	flush()
	return all, nil
}

// compressible knows what the corpora are made of.
func compressible(path string) bool { return !strings.HasPrefix(path, "uploads/") }

// read fills the start of buffer with the bytes of parts.
func read(root string, files []found, parts []part, buffer []byte) ([]byte, error) {
	end := 0
	for _, p := range parts {
		file, err := os.Open(filepath.Join(root, files[p.file].path))
		if err != nil {
			return nil, err
		}
		_, err = file.ReadAt(buffer[end:end+p.length], p.offset)
		file.Close()
		if err != nil && err != io.EOF {
			return nil, err
		}
		end += p.length
	}
	return buffer[:end], nil
}

// write distributes content to the files of parts.
func write(root string, files []found, parts []part, content []byte) error {
	for _, p := range parts {
		file, err := os.OpenFile(filepath.Join(root, files[p.file].path), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteAt(content[:p.length], p.offset)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
		content = content[p.length:]
	}
	return nil
}
