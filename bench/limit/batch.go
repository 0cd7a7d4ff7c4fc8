package limit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

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

// batches divides files into batches, holes left out. By blob, no batch has parts of
// two files.
func (l *limit) batches(dir string, files []found) ([]batch, error) {
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
		if packed := compressible(file.path); l.byBlob || open.packed != packed {
			flush()
			open.packed = packed
		}
		extents := []disk.Extent{{End: file.size}}
		if file.sparse {
			var err error
			if extents, err = disk.Extents(filepath.Join(dir, file.path)); err != nil {
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
func compressible(path string) bool { return !strings.HasPrefix(path, "./uploads/") }

// A root is an open directory. Files are opened from it and read and written with
// bare system calls: there can be a million of them.
type root struct{ *os.File }

func openRoot(path string) (root, error) {
	dir, err := os.Open(path)
	return root{dir}, err
}

// read fills the start of buffer with the bytes of parts.
func (r root) read(files []found, parts []part, buffer []byte) ([]byte, error) {
	end := 0
	for _, p := range parts {
		n, err := r.readPart(files[p.file].path, p, buffer[end:])
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: files[p.file].path, Err: err}
		}
		end += n
	}
	return buffer[:end], nil
}

func (r root) readPart(path string, p part, buffer []byte) (int, error) {
	file, err := unix.Openat(int(r.Fd()), path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(file)
	for done := 0; done < p.length; {
		n, err := unix.Pread(file, buffer[done:p.length], p.offset+int64(done))
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		done += n
	}
	return p.length, nil
}

// write distributes content to the files of parts.
func (r root) write(files []found, parts []part, content []byte) error {
	for _, p := range parts {
		if err := r.writePart(files[p.file].path, p, content[:p.length]); err != nil {
			return &os.PathError{Op: "write", Path: files[p.file].path, Err: err}
		}
		content = content[p.length:]
	}
	return nil
}

func (r root) writePart(path string, p part, content []byte) error {
	file, err := unix.Openat(int(r.Fd()), path, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	for offset := p.offset; len(content) > 0; {
		n, err := unix.Pwrite(file, content, offset)
		if err != nil {
			return errors.Join(err, unix.Close(file))
		}
		content, offset = content[n:], offset+int64(n)
	}
	return unix.Close(file)
}
