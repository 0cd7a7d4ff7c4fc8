package files

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// dirent is one name in a directory, with what the kernel says about its type for
// free: a unix.DT_ constant, DT_UNKNOWN where the filesystem does not say.
type dirent struct {
	name string
	kind byte
}

// readNames returns the names in the directory fd, sorted, without "." and "..".
// With an error come those that could be read. The descriptor is at its end
// afterwards.
//
// The names share copies of the kernel's buffers, so a directory of a million names costs
// about 60 MB and few allocations.
func readNames(fd int) ([]string, error) {
	var names []string
	err := eachName(fd, func(n string, _ byte) { names = append(names, n) })
	slices.Sort(names)
	return names, err
}

// readTypedNames is readNames with types.
func readTypedNames(fd int) ([]dirent, error) {
	var names []dirent
	err := eachName(fd, func(n string, kind byte) { names = append(names, dirent{n, kind}) })
	slices.SortFunc(names, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	return names, err
}

func eachName(fd int, found func(n string, kind byte)) error {
	buf := direntBuffers.Get().(*[64 << 10]byte)
	defer direntBuffers.Put(buf)
	for {
		n, err := unix.Getdents(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		eachDirent(string(buf[:n]), found)
	}
}

// direntBuffers spares a directory of ten files a buffer of its own.
var direntBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// eachDirent takes a buffer of struct linux_dirent64 apart: inode u64, offset
// u64, record length u16, type u8, name, NUL.
func eachDirent(records string, found func(n string, kind byte)) {
	const header = 8 + 8 + 2 + 1
	for len(records) >= header {
		length := int(binary.NativeEndian.Uint16([]byte{records[16], records[17]}))
		if length < header || length > len(records) {
			return
		}
		n := records[header:length]
		if end := strings.IndexByte(n, 0); end >= 0 {
			n = n[:end]
		}
		if n != "" && n != "." && n != ".." {
			found(n, records[18])
		}
		records = records[length:]
	}
}

// isEmpty reports whether the directory fd has no names but those in except.
func isEmpty(fd int, except ...string) (bool, error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return false, err
	}
	empty := true
	err := eachName(fd, func(n string, _ byte) { empty = empty && slices.Contains(except, n) })
	return empty, err
}

// cacheTag is how a file CACHEDIR.TAG begins that marks its directory as a
// cache (bford.info/cachedir).
var cacheTag = []byte("Signature: 8a477f597d28d172789f06886806bc55")

const cacheTagName = "CACHEDIR.TAG"

// isCache reports whether the directory fd holds a valid cache tag.
func isCache(fd int) bool {
	handle, st, err := openHandle(fd, cacheTagName)
	if err != nil {
		return false
	}
	defer unix.Close(handle)
	if st.mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	tag, err := openFile(handle)
	if err != nil {
		return false
	}
	defer unix.Close(tag)
	head := make([]byte, len(cacheTag))
	n, _ := unix.Pread(tag, head, 0)
	return bytes.Equal(head[:max(n, 0)], cacheTag)
}
