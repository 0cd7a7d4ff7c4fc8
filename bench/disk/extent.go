package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// An Extent is a range of a file that is no hole, in bytes.
type Extent struct{ Start, End int64 }

// Extents returns where the file at path has data. It must not change meanwhile.
func Extents(path string) ([]Extent, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return extents(file)
}

// extents moves the file's offset.
func extents(file *os.File) ([]Extent, error) {
	var all []Extent
	for at := int64(0); ; {
		start, err := file.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return all, nil // nothing but a hole is left
		}
		if err != nil {
			return nil, err
		}
		if at, err = file.Seek(start, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		all = append(all, Extent{start, at})
	}
}
