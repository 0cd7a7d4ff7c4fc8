package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// bbolt follows the offsets in its pages wherever they lead. So the pages that it
// looks for keys in have checksums behind its last page, where it does not look
// itself, and they are compared before it is let at the file:
//
//	per page: u64 offset, u32 CRC-32C
//	u32 layout, u32 page size, u32 number of pages, u32 CRC-32C of all before it here
//	magic
//
// What these pages point at, the values, has checksums of its own.
const (
	copyLayout = 1 // of everything in the file, to be raised with every change

	structureMagic = "HFIC"
	structurePage  = 12 // bytes per page
	structureEnd   = 20 // bytes behind the pages
	maxStructure   = 1 << 16
	maxPageSize    = 1 << 16
)

// structure is where the pages with keys are.
type structure struct {
	pageSize int
	pages    []int64 // offsets
	size     int64   // bytes up to the last page in use
}

func structureOf(db *bbolt.DB) (s structure, err error) {
	s.pageSize = db.Info().PageSize
	err = db.View(func(tx *bbolt.Tx) error {
		s.size = tx.Size()
		for page := 0; ; page++ {
			info, err := tx.Page(page)
			if err != nil || info == nil {
				return err
			}
			if info.Type == "meta" || info.Type == "leaf" || info.Type == "branch" {
				s.pages = append(s.pages, int64(page)*int64(s.pageSize))
			}
			page += info.OverflowCount
		}
	})
	return s, err
}

// append writes the checksums to the closed file and makes it durable, so that
// the name it gets never stands for half of it.
func (s structure) append(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var table []byte
	for _, offset := range s.pages {
		sum, err := pageSum(f, offset, s.pageSize)
		if err != nil {
			return err
		}
		table = binary.LittleEndian.AppendUint64(table, uint64(offset))
		table = binary.LittleEndian.AppendUint32(table, sum)
	}
	for _, n := range [...]int{copyLayout, s.pageSize, len(s.pages)} {
		table = binary.LittleEndian.AppendUint32(table, uint32(n))
	}
	table = binary.LittleEndian.AppendUint32(table, crc32.Checksum(table, castagnoli))
	if err := f.Truncate(s.size); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(table, structureMagic...), s.size); err != nil {
		return err
	}
	return f.Sync()
}

// verifyStructure is ErrNoCopy if the file is not what append has left.
func verifyStructure(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := make([]byte, structureEnd)
	if _, err := f.ReadAt(end, max(0, info.Size()-structureEnd)); err != nil || string(end[16:]) != structureMagic {
		return fmt.Errorf("%w: it does not end as one", ErrNoCopy)
	}
	layout := binary.LittleEndian.Uint32(end)
	pageSize, pages := binary.LittleEndian.Uint32(end[4:]), binary.LittleEndian.Uint32(end[8:])
	size := info.Size() - structureEnd - int64(pages)*structurePage
	if layout != copyLayout || pageSize > maxPageSize || pages > maxStructure || size < 0 {
		return fmt.Errorf("%w: another layout", ErrNoCopy)
	}
	table := make([]byte, pages*structurePage, pages*structurePage+structureEnd)
	if _, err := f.ReadAt(table, size); err != nil && err != io.EOF {
		return fmt.Errorf("%w: %w", ErrNoCopy, err)
	}
	if crc32.Checksum(append(table, end[:12]...), castagnoli) != binary.LittleEndian.Uint32(end[12:]) {
		return fmt.Errorf("%w: wrong checksum of its structure", ErrNoCopy)
	}
	for ; len(table) > 0; table = table[structurePage:] {
		sum, err := pageSum(f, int64(binary.LittleEndian.Uint64(table)), int(pageSize))
		if err != nil || sum != binary.LittleEndian.Uint32(table[8:]) {
			return fmt.Errorf("%w: wrong checksum of a page", ErrNoCopy)
		}
	}
	return nil
}

func pageSum(f *os.File, offset int64, size int) (uint32, error) {
	page := make([]byte, size)
	if _, err := f.ReadAt(page, offset); err != nil {
		return 0, err
	}
	return crc32.Checksum(page, castagnoli), nil
}
