package repo

import (
	"context"
	"io"
	"iter"

	"holdfast/internal/tree"
)

// Grain selects the size of chunks. Its values are those of engines.Grain.
type Grain uint8

const (
	Fine   Grain = iota // dumps, page files
	Coarse              // files, listings
)

// Put stores what content yields as the content of e, with deltas against base,
// and returns e with Content set, and with Size set where e has no holes.
func (w *Writer) Put(ctx context.Context, grain Grain, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	stream, err := w.put(ctx, contents, grain, base, content)
	if err != nil {
		return e, err
	}
	e.Content = stream
	if len(e.Holes) == 0 {
		e.Size = stream.Size()
	}
	return e, nil
}

// Join makes e a file of parts, one after the other, without reading them.
func (w *Writer) Join(ctx context.Context, e tree.Entry, parts ...tree.Stream) (tree.Entry, error) {
	stream, err := w.join(ctx, parts)
	if err != nil {
		return e, err
	}
	e.Content, e.Size = stream, stream.Size()
	return e, nil
}

// PutDirectory stores children, which come in order of their names, as the
// listing of e, and returns e with Content, Size and Entries set.
func (w *Writer) PutDirectory(ctx context.Context, e tree.Entry, base tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error) {
	e.Size, e.Entries = 0, 0
	l := newListing(children, &e)
	defer l.stop()
	stream, err := w.put(ctx, listings, Coarse, base, l)
	if err != nil {
		return e, err
	}
	e.Content = stream
	return e, nil
}

// listing reads as the encoded form of the entries it pulls, and adds them up.
type listing struct {
	next     func() (tree.Entry, error, bool)
	stop     func()
	total    *tree.Entry
	previous string
	buffer   []byte
	rest     []byte
	err      error
}

func newListing(children iter.Seq2[tree.Entry, error], total *tree.Entry) *listing {
	next, stop := iter.Pull2(children)
	return &listing{next: next, stop: stop, total: total}
}

func (l *listing) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.fill()
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *listing) fill() {
	e, err, ok := l.next()
	if !ok {
		l.err = io.EOF
		return
	}
	if err == nil && e.Name <= l.previous {
		err = outOfOrder(l.previous, e.Name)
	}
	if err == nil {
		l.buffer, err = tree.AppendEntry(l.buffer[:0], &e)
	}
	if err != nil {
		l.err = err
		return
	}
	l.previous, l.rest = e.Name, l.buffer
	l.total.Size += e.Size
	l.total.Entries += 1 + e.Entries
}
