package snapshot

import (
	"context"
	"io"
	"iter"
	"sync/atomic"

	"holdfast/engines"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// Progress is told what happens. Its methods are called from many goroutines.
type Progress interface {
	Expect(bytes uint64) // more bytes are to come, at a guess
	Read(bytes int)      // taken from a service, or given back to one
	Kept(bytes uint64)   // taken over from the parent unread
	Entry()              // a file, directory or table is done
	Stored(bytes uint64) // the total that the repository has grown by
	Step(what string)    // what happens now
	// Phase begins to count anew: what happens now, and whether what is expected of it
	// is a guess.
	Phase(what string, guessed bool)
}

// sink is the engines.Sink of one part.
type sink struct {
	*repo.Repository // Content
	writer           *repo.Writer
	grain            repo.Grain
	parent           map[string]tree.Entry
	progress         Progress
	// quiet is set during the remainder of a mount: what the pre-copy has told
	// already is not told again.
	quiet atomic.Bool
	kept  atomic.Uint64
}

var _ engines.Sink = (*sink)(nil)

func (s *sink) Parent(name string) (tree.Entry, bool) {
	e, ok := s.parent[name]
	return e, ok
}

func (s *sink) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	e, err := s.writer.Put(ctx, s.grain, e, base, countingReader{content, s.progress})
	if err == nil {
		s.entry()
	}
	return e, err
}

func (s *sink) Join(ctx context.Context, e tree.Entry, parts ...tree.Stream) (tree.Entry, error) {
	return s.writer.Join(ctx, e, parts...)
}

func (s *sink) PutDirectory(ctx context.Context, e tree.Entry, base tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error) {
	e, err := s.writer.PutDirectory(ctx, e, base, children)
	if err == nil {
		s.entry()
	}
	return e, err
}

func (s *sink) Keep(e tree.Entry) {
	if s.quiet.Load() {
		return
	}
	s.kept.Add(e.Size)
	s.progress.Kept(e.Size)
	s.progress.Entry()
}

func (s *sink) entry() {
	if !s.quiet.Load() {
		s.progress.Entry()
	}
	w := s.writer.Written()
	s.progress.Stored(w.Stored)
}

type countingReader struct {
	io.Reader
	progress Progress
}

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.progress.Read(n)
	return n, err
}

// Counted is content that tells p what is read of it.
func Counted(content engines.Content, p Progress) engines.Content { return countedContent{content, p} }

// countedContent tells the progress what a restore reads.
type countedContent struct {
	engines.Content
	progress Progress
}

func (c countedContent) Open(ctx context.Context, file tree.Entry) io.ReadCloser {
	r := c.Content.Open(ctx, file)
	c.progress.Entry()
	return countedFile{r, c.progress}
}

// OpenPresent implements engines.PresentContent.
func (c countedContent) OpenPresent(ctx context.Context, file tree.Entry, present io.ReaderAt) io.ReadCloser {
	inner, ok := c.Content.(engines.PresentContent)
	if !ok {
		return c.Open(ctx, file)
	}
	c.progress.Entry()
	return countedFile{inner.OpenPresent(ctx, file, present), c.progress}
}

type countedFile struct {
	io.ReadCloser
	progress Progress
}

func (c countedFile) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.progress.Read(n)
	return n, err
}

// WriteTo lets content hand its own buffers on, if it can.
func (c countedFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(countingWriter{w, c.progress}, c.ReadCloser)
}

type countingWriter struct {
	to       io.Writer
	progress Progress
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.progress.Read(n)
	return n, err
}
