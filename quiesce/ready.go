package quiesce

import (
	"io"
	"syscall"
)

// readyReader reads from a connection what has come already, and never waits. It
// allocates nothing: a gate asks it with every request.
type readyReader struct {
	raw  syscall.RawConn
	read func(fd uintptr) (done bool)
	// Of the present call:
	p   []byte
	n   int
	err error
}

func newReadyReader(raw syscall.RawConn) *readyReader {
	r := &readyReader{raw: raw}
	r.read = func(fd uintptr) bool {
		for {
			if r.n, r.err = syscall.Read(int(fd), r.p); r.err != syscall.EINTR {
				return true
			}
		}
	}
	return r
}

// Read implements io.Reader; it fails with EAGAIN where nothing has come.
func (r *readyReader) Read(p []byte) (int, error) {
	r.p = p
	failed := r.raw.Read(r.read)
	r.p = nil
	switch {
	case failed != nil:
		return 0, failed
	case r.err != nil:
		return 0, r.err
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}
