package storage

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the size from which an object is written around the page cache.
	directFrom = 1 << 20
	// directAlign is what addresses, offsets and lengths must be multiples of, on
	// every disk in use.
	directAlign = 4096
)

// writeObject writes data to the new file f.
//
// A pack is written once and hardly ever read by who wrote it. Going through the
// page cache would copy it, push out pages that the site needs, and leave all of
// it to the fsync; so as much of it as is aligned goes to the disk directly, where
// the file system lets it.
func writeObject(f *os.File, data []byte) error {
	if len(data) >= directFrom && uintptr(unsafe.Pointer(unsafe.SliceData(data)))%directAlign == 0 {
		n, err := writeDirectly(f, data[:len(data)/directAlign*directAlign])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	_, err := f.Write(data)
	return err
}

// writeDirectly returns how much it has written: all of data, or less where the
// file system refuses.
func writeDirectly(f *os.File, data []byte) (n int, err error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return 0, nil
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_DIRECT); err != nil {
		return 0, nil
	}
	for n < len(data) && err == nil {
		var some int
		some, err = unix.Write(int(f.Fd()), data[n:])
		if err == unix.EINTR {
			err = nil
			continue
		}
		if n += max(some, 0); some <= 0 || some%directAlign != 0 {
			break // the rest is not aligned any more
		}
	}
	if err == unix.EINVAL {
		err = nil
	}
	if _, back := unix.FcntlInt(f.Fd(), unix.F_SETFL, flags); err == nil {
		err = back
	}
	return n, err
}
