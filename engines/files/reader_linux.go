package files

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// errShrank ends the reading of a sparse file that has become shorter: its holes
// are promised already.
var errShrank = errors.New("became shorter while it was read")

const dropEvery = 8 << 20 // bytes

// reader yields the data of an open file, its holes left out, up to the size it
// had when it was opened. What was not in the page cache before is dropped from
// it again.
type reader struct {
	ctx     context.Context
	fd      int
	data    []tree.Extent  // still to be read
	whole   [1]tree.Extent // what data is made of where there are no holes
	sparse  bool
	drop    bool
	dropped int64 // everything before this offset
	err     error // why reading failed; not set at the end of the file
}

func newReader(ctx context.Context, fd int, st *stat, holes []tree.Extent) *reader {
	r := &reader{ctx: ctx, fd: fd, sparse: len(holes) > 0}
	if r.sparse {
		r.data = dataOf(st.size, holes)
	} else if st.size > 0 {
		r.whole[0].Length = st.size
		r.data = r.whole[:]
	}
	if st.size > 128<<10 {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL)
	}
	r.drop = !cached(fd)
	return r
}

// cached reports whether any of the file is in the page cache; where the kernel
// is too old to tell, it may be.
func cached(fd int) bool {
	var all unix.CachestatRange
	var pages unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &all, &pages, 0)
	return err != nil || pages.Cache > 0
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	next := &r.data[0]
	if uint64(len(p)) > next.Length {
		p = p[:next.Length]
	}
	n, err := r.pread(p, int64(next.Offset))
	if err != nil {
		r.err = err
		return 0, err
	}
	if n == 0 && len(p) > 0 {
		r.data = nil
		if r.sparse {
			r.err = errShrank
			return 0, r.err
		}
		return 0, io.EOF
	}
	next.Offset += uint64(n)
	next.Length -= uint64(n)
	if at := int64(next.Offset); at-r.dropped >= dropEvery {
		r.release(at)
	}
	if next.Length == 0 {
		r.data = r.data[1:]
	}
	return n, nil
}

func (r *reader) pread(p []byte, off int64) (int, error) {
	for {
		if err := context.Cause(r.ctx); err != nil {
			return 0, err
		}
		n, err := unix.Pread(r.fd, p, off)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// release drops what was read before the offset to; 0 stands for all.
func (r *reader) release(to int64) {
	if !r.drop {
		return
	}
	if to == 0 {
		_ = unix.Fadvise(r.fd, r.dropped, 0, unix.FADV_DONTNEED)
		return
	}
	_ = unix.Fadvise(r.fd, r.dropped, to-r.dropped, unix.FADV_DONTNEED)
	r.dropped = to
}
