package enginetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// errInjected is what a faulty sink or content fails with.
var errInjected = errors.New("injected fault")

// fuse is a context that is cancelled when it is asked for the n-th time whether
// it is: the same point of the code in every run, however fast the machine is.
type fuse struct {
	context.Context
	blow context.CancelCauseFunc
	left atomic.Int64
}

func newFuse(parent context.Context, n int) *fuse {
	ctx, cancel := context.WithCancelCause(parent)
	f := &fuse{Context: ctx, blow: cancel}
	f.left.Store(int64(n))
	return f
}

func (f *fuse) burn() {
	if f.left.Add(-1) == 0 {
		f.blow(errInjected)
	}
}

// blown reports whether the context was cancelled.
func (f *fuse) blown() bool { return f.left.Load() <= 0 }

// Err implements context.Context.
func (f *fuse) Err() error { f.burn(); return f.Context.Err() }

// Done implements context.Context.
func (f *fuse) Done() <-chan struct{} { f.burn(); return f.Context.Done() }

// steps gives 1, 2, 3, 4, 6, 8, 12, 16, …: every early step, then two an octave.
func steps() iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := 1; n < 1<<30; n *= 2 {
			if !yield(n) || n > 1 && !yield(n+n/2) {
				return
			}
		}
	}
}

// faulty is a Sink or Content whose n-th call fails: that of a method, or a read
// of what a method gave out or was given. Each counts as one.
type faulty struct {
	engines.Sink
	left atomic.Int64
}

func newFaulty(sink engines.Sink, n int) *faulty {
	f := &faulty{Sink: sink}
	f.left.Store(int64(n))
	return f
}

func (f *faulty) fails() error {
	if f.left.Add(-1) == 0 {
		return errInjected
	}
	return nil
}

// failed reports whether the fault has happened.
func (f *faulty) failed() bool { return f.left.Load() <= 0 }

// Put implements engines.Sink.
func (f *faulty) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	if err := f.fails(); err != nil {
		return e, err
	}
	return f.Sink.Put(ctx, e, base, &faultyReader{f, content})
}

// Join implements engines.Sink.
func (f *faulty) Join(ctx context.Context, e tree.Entry, parts ...tree.Stream) (tree.Entry, error) {
	if err := f.fails(); err != nil {
		return e, err
	}
	return f.Sink.Join(ctx, e, parts...)
}

// PutDirectory implements engines.Sink.
func (f *faulty) PutDirectory(ctx context.Context, e tree.Entry, base tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error) {
	if err := f.fails(); err != nil {
		return e, err
	}
	return f.Sink.PutDirectory(ctx, e, base, children)
}

// Children implements engines.Content.
func (f *faulty) Children(ctx context.Context, directory tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if err := f.fails(); err != nil {
			yield(tree.Entry{}, err)
			return
		}
		for child, err := range f.Sink.Children(ctx, directory) {
			if err == nil {
				err = f.fails()
			}
			if !yield(child, err) || err != nil {
				return
			}
		}
	}
}

// Open implements engines.Content.
func (f *faulty) Open(ctx context.Context, file tree.Entry) io.ReadCloser {
	content := f.Sink.Open(ctx, file)
	return struct {
		io.Reader
		io.Closer
	}{&faultyReader{f, content}, content}
}

// faultyReader fails before it reads, so that an error never comes with the last
// byte, and reads little at a time, so that there are calls to fail at.
type faultyReader struct {
	f    *faulty
	from io.Reader
}

// Read implements io.Reader.
func (r *faultyReader) Read(p []byte) (int, error) {
	if err := r.f.fails(); err != nil {
		return 0, err
	}
	return r.from.Read(p[:min(len(p), 4<<10)])
}

// bases notes which base each Put was given.
type bases struct {
	engines.Sink
	parent map[string]bool // streams of the parent snapshot, by their refs
	all    atomic.Int64
	known  atomic.Int64
}

func refs(s tree.Stream) string { return string(tree.AppendRefs(nil, s.Refs)) }

// Put implements engines.Sink.
func (b *bases) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	b.all.Add(1)
	if b.parent[refs(base)] && len(base.Refs) > 0 {
		b.known.Add(1)
	}
	return b.Sink.Put(ctx, e, base, content)
}
