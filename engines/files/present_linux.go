package files

import (
	"context"
	"io"
	"sort"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// presentFrom is the size of the smallest file of which is looked whether it is
// there already: to fetch a smaller one takes no longer than to look.
const presentFrom = 64 << 10

// open opens the content of e, which stands in at. What the current file of that
// name holds of it is not fetched, but read there and verified: whatever the site
// does to that file, now or later, what is made does not depend on it.
func (w *writer) open(ctx context.Context, at *place, e *tree.Entry) io.ReadCloser {
	content, able := w.content.(engines.PresentContent)
	if !able || w.current < 0 || e.Size < presentFrom {
		return w.content.Open(ctx, *e)
	}
	fd, err := w.openPresent(at.beneath(e.Name))
	if err != nil {
		return w.content.Open(ctx, *e) // for whatever reason: it is not needed
	}
	return &overPresent{content.OpenPresent(ctx, *e, newPresent(fd, dataOf(e.Size, e.Holes))), fd}
}

// openPresent opens the regular file at a path beneath the current mount, with no
// symlink and no other filesystem on the way, unless it must not be opened.
func (w *writer) openPresent(path string) (int, error) {
	handle, err := unix.Openat2(w.current, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	st, err := statAt(handle, "")
	if err != nil {
		return -1, err
	}
	if st.kind() != tree.File || w.rules.avoids(st.node) {
		return -1, unix.EINVAL
	}
	return openFile(handle)
}

// overPresent closes the current file when nobody reads it any more.
type overPresent struct {
	io.ReadCloser
	fd int
}

// WriteTo lets content hand its own buffers on, if it can.
func (o *overPresent) WriteTo(to io.Writer) (int64, error) { return io.Copy(to, o.ReadCloser) }

func (o *overPresent) Close() error {
	defer unix.Close(o.fd)
	return o.ReadCloser.Close()
}

// present reads the parts of a file that hold data, as if nothing were between
// them. It may be used from several goroutines.
type present struct {
	fd    int
	parts []tree.Extent
	from  []uint64 // where each part begins, in the bytes of all parts
}

func newPresent(fd int, parts []tree.Extent) *present {
	p := &present{fd, parts, make([]uint64, len(parts))}
	for i := 1; i < len(parts); i++ {
		p.from[i] = p.from[i-1] + parts[i-1].Length
	}
	return p
}

// ReadAt implements io.ReaderAt.
func (p *present) ReadAt(b []byte, off int64) (n int, err error) {
	i := sort.Search(len(p.from), func(i int) bool { return p.from[i] > uint64(off) }) - 1
	for ; n < len(b) && i >= 0 && i < len(p.parts); i++ {
		skip := uint64(off) + uint64(n) - p.from[i]
		if skip >= p.parts[i].Length {
			break
		}
		piece := b[n:]
		piece = piece[:min(uint64(len(piece)), p.parts[i].Length-skip)]
		got, err := readAll(p.fd, piece, int64(p.parts[i].Offset+skip))
		if n += got; err != nil {
			return n, err
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// readAll fills b from the offset off; at the end of the file that is io.EOF.
func readAll(fd int, b []byte, off int64) (n int, err error) {
	for n < len(b) {
		got, err := unix.Pread(fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if got == 0 {
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}
