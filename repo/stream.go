package repo

import (
	"context"
	"io"

	"holdfast/chunk"
	"holdfast/internal/tree"
)

const (
	// window is how many chunks of one stream may be on their way at once.
	window = 16
	// maxEmptyReads is how often in a row a reader may give nothing and no error.
	maxEmptyReads = 100
)

// put cuts what content yields into blobs and returns their stream.
func (w *Writer) put(ctx context.Context, c class, grain Grain, parent tree.Stream, content io.Reader) (tree.Stream, error) {
	sizes := [...]chunk.Sizes{Fine: w.repo.config.Fine, Coarse: w.repo.config.Coarse}[grain]
	base, err := newBase(ctx, w.repo, parent, uint64(sizes.Max))
	if err != nil {
		return tree.Stream{}, err
	}
	cutter := w.cutters[grain].Get().(*chunk.Cutter)
	defer w.cutters[grain].Put(cutter)
	cutter.Reset()
	s := &streamWriter{w: w, class: c, grain: grain, base: base, cutter: cutter, block: w.blocks.get()}
	defer func() { s.block.release() }()
	for {
		last, err := s.read(content)
		if err == nil {
			err = s.cut(ctx, last)
		}
		if err != nil {
			s.abandon(ctx)
			return tree.Stream{}, err
		}
		if last {
			return s.finish(ctx)
		}
	}
}

// streamWriter cuts a stream that it reads into blocks, and keeps its chunks in
// order while workers take them out of order.
type streamWriter struct {
	w      *Writer
	class  class
	grain  Grain
	base   *base
	cutter *chunk.Cutter

	block    *block
	from, to int // what of the block is read and not cut yet

	offset  uint64 // in the stream, of from
	waiting []*job
	lists   listWriter
}

// read fills the block with the next step of the stream; last is set at its end,
// which io.EOF alone is: io.ErrUnexpectedEOF is how some readers say that they broke.
func (s *streamWriter) read(content io.Reader) (last bool, err error) {
	if len(s.block.bytes)-s.to < readStep {
		s.turn()
	}
	empty := 0
	for end := s.to + readStep; s.to < end; {
		n, err := content.Read(s.block.bytes[s.to:end])
		if n > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads && err == nil {
			err = io.ErrNoProgress
		}
		s.to += n
		s.w.stats.read.Add(uint64(n))
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// turn goes on in a fresh block, with what is not cut yet at its beginning: less
// than one chunk.
func (s *streamWriter) turn() {
	next := s.w.blocks.get()
	s.from, s.to = 0, copy(next.bytes, s.block.bytes[s.from:s.to])
	s.block.release()
	s.block = next
}

// cut hands on all chunks that what was read has whole.
func (s *streamWriter) cut(ctx context.Context, last bool) error {
	for s.from < s.to {
		n := s.cutter.Cut(s.block.bytes[s.from:s.to], last)
		if n == 0 {
			return nil
		}
		if err := s.chunk(ctx, n, last && s.from+n == s.to); err != nil {
			return err
		}
	}
	return nil
}

// chunk hands the next n bytes on. A stream of one chunk is stored right here:
// most files are, and handing them on would cost more than it gains.
func (s *streamWriter) chunk(ctx context.Context, n int, last bool) error {
	if len(s.waiting) == window {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	j := s.w.newJob()
	j.class, j.grain, j.data, j.base = s.class, s.grain, s.block.bytes[s.from:s.from+n], s.base
	if j.base != nil {
		j.like = j.base.next(uint64(n))
	}
	alone := last && s.offset == 0
	s.from += n
	s.offset += uint64(n)
	if alone {
		err := s.w.store(ctx, j)
		ref := j.ref
		j.free()
		if err != nil {
			return err
		}
		return s.lists.add(ctx, s.w, 0, ref)
	}
	j.block = s.block
	s.block.users.Add(1)
	s.waiting = append(s.waiting, j)
	return s.w.submit(ctx, j)
}

// abandon waits for the chunks that are on their way. Others may rely on them:
// who meets the same chunk leaves it to whoever met it first.
func (s *streamWriter) abandon(ctx context.Context) {
	for _, j := range s.waiting {
		if _, err := j.wait(ctx); err != nil {
			return
		}
	}
}

// settle waits for the oldest chunk.
func (s *streamWriter) settle(ctx context.Context) error {
	ref, err := s.waiting[0].wait(ctx)
	if err != nil {
		return err
	}
	s.waiting = append(s.waiting[:0], s.waiting[1:]...)
	return s.lists.add(ctx, s.w, 0, ref)
}

func (s *streamWriter) finish(ctx context.Context) (tree.Stream, error) {
	for len(s.waiting) > 0 {
		if err := s.settle(ctx); err != nil {
			return tree.Stream{}, err
		}
	}
	return s.lists.finish(ctx, s.w)
}
