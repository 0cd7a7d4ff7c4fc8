package files

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// maxXattrBytes bounds what the attributes of one file may amount to; the kernel
// allows far less on most filesystems, and an entry 16 MiB.
const maxXattrBytes = 4 << 20

// attributeIO reads and writes the extended attributes of one open file. Plain
// descriptors serve files and directories; a handle, which nothing was opened
// for, is reached through its path in /proc.
type attributeIO struct {
	fd   int
	path string // of a handle
}

func attributesOf(fd int) attributeIO { return attributeIO{fd: fd} }

func attributesOfHandle(handle int) attributeIO { return attributeIO{path: handlePath(handle)} }

func (a attributeIO) list(dest []byte) (int, error) {
	if a.path != "" {
		return unix.Listxattr(a.path, dest)
	}
	return unix.Flistxattr(a.fd, dest)
}

func (a attributeIO) get(name string, dest []byte) (int, error) {
	if a.path != "" {
		return unix.Getxattr(a.path, name, dest)
	}
	return unix.Fgetxattr(a.fd, name, dest)
}

func (a attributeIO) set(name string, value []byte) error {
	if a.path != "" {
		return unix.Setxattr(a.path, name, value, 0)
	}
	return unix.Fsetxattr(a.fd, name, value, 0)
}

func (a attributeIO) drop(name string) error {
	if a.path != "" {
		return unix.Removexattr(a.path, name)
	}
	return unix.Fremovexattr(a.fd, name)
}

// read returns all attributes, sorted by name, or those that could be read and
// an error that names the first that could not. A filesystem without attributes
// has none.
func (a attributeIO) read() ([]tree.Xattr, error) {
	names, err := a.names()
	if err != nil {
		return nil, fmt.Errorf("extended attributes: %w", err)
	}
	var xattrs []tree.Xattr
	var failed error
	total := 0
	for _, name := range names {
		value, err := fill(func(dest []byte) (int, error) { return a.get(name, dest) })
		if err == unix.ENODATA {
			continue // removed meanwhile
		}
		if total += len(name) + len(value); err == nil && total > maxXattrBytes {
			err = unix.E2BIG
		}
		if err != nil {
			if failed == nil {
				failed = fmt.Errorf("extended attribute %s: %w", name, err)
			}
			continue
		}
		xattrs = append(xattrs, tree.Xattr{Name: name, Value: value})
	}
	return xattrs, failed
}

func (a attributeIO) names() ([]string, error) {
	if n, err := a.list(nil); n == 0 && err == nil {
		return nil, nil // as for most files
	}
	list, err := fill(a.list)
	if err == unix.ENOTSUP || err == unix.ENOSYS || len(list) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	slices.Sort(names)
	return slices.Compact(names), nil
}

// fill calls a function that says ERANGE where dest is too small.
func fill(call func(dest []byte) (int, error)) ([]byte, error) {
	var first [256]byte
	buf := first[:]
	for {
		n, err := call(buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ERANGE && len(buf) < 1<<20:
			buf = make([]byte, len(buf)*8)
		case err != nil:
			return nil, err
		default:
			return bytes.Clone(buf[:n]), nil
		}
	}
}

// write sets xattrs. It goes on after one that cannot be set, and tells failed.
func (a attributeIO) write(xattrs []tree.Xattr, failed func(name string, err error)) {
	for _, x := range xattrs {
		if err := a.set(x.Name, x.Value); err != nil && !a.has(x) {
			failed(x.Name, err)
		}
	}
}

// replace makes the file's attributes exactly xattrs, but for those that a
// filesystem or a security module adds by itself and does not let go.
func (a attributeIO) replace(xattrs []tree.Xattr, failed func(name string, err error)) {
	present, _ := a.names()
	for _, name := range present {
		if !slices.ContainsFunc(xattrs, func(x tree.Xattr) bool { return x.Name == name }) {
			_ = a.drop(name)
		}
	}
	a.write(xattrs, failed)
}

// has reports whether the attribute is there already, as it should be.
func (a attributeIO) has(x tree.Xattr) bool {
	value, err := fill(func(dest []byte) (int, error) { return a.get(x.Name, dest) })
	return err == nil && bytes.Equal(value, x.Value)
}
