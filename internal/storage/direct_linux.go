package storage

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the size from which a piece of an object is written around the
	// page cache.
	directFrom = 256 << 10
	// directAlign is what addresses, offsets and lengths must be multiples of, on
	// every disk in use.
	directAlign = 4096
)

// objectFile writes a new file from its beginning.
//
// A pack is written once and hardly ever read by who wrote it. Going through the
// page cache would copy it, push out pages that the site needs, and leave all of
// it to the fsync; so as much of it as is aligned goes to the disk directly, where
// the file system lets it.
type objectFile struct {
	*os.File
	direct bool // O_DIRECT is set
	cached bool // for good: the offset is not aligned any more, or the file system refuses
}

// append writes data behind what was written before.
func (f *objectFile) append(data []byte) error {
	if !f.cached && len(data) >= directFrom && uintptr(unsafe.Pointer(unsafe.SliceData(data)))%directAlign == 0 {
		n, err := f.appendDirectly(data[:len(data)/directAlign*directAlign])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	if len(data) == 0 {
		return nil
	}
	f.cached = true
	if err := f.setDirect(false); err != nil {
		return err
	}
	_, err := f.Write(data)
	return err
}

// appendDirectly returns how much it has written: all of data, or less where the
// file system refuses.
func (f *objectFile) appendDirectly(data []byte) (n int, err error) {
	if f.setDirect(true) != nil {
		return 0, nil
	}
	for n < len(data) {
		some, err := unix.Write(int(f.Fd()), data[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL:
			return n, nil
		case err != nil:
			return n, err
		}
		if n += some; some == 0 || some%directAlign != 0 {
			return n, nil // the rest is not aligned any more
		}
	}
	return n, nil
}

func (f *objectFile) setDirect(on bool) error {
	if f.direct == on {
		return nil
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags &^= unix.O_DIRECT; on {
		flags |= unix.O_DIRECT
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, flags); err != nil {
		return err
	}
	f.direct = on
	return nil
}
