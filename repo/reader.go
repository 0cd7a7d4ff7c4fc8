package repo

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"holdfast/internal/tree"
)

// streamReader yields a stream's bytes, blob by blob; every byte has been
// compared with its id. One goroutine uses it.
type streamReader struct {
	ctx    context.Context
	repo   *Repository
	cached bool         // small and read again soon: keep the blobs
	stack  [][]tree.Ref // what is left to read, by level
	end    error        // why nothing more is in stack
	failed error        // what Read returns from now on
	buffer *[]byte      // lent, with the bytes of the last blob
	rest   []byte       // of those, what was not handed on yet
	ahead  *readAhead   // nil where the stream is short

	place   uint64    // of the head in the stream
	present *presence // nil where nothing is there
}

func (r *Repository) reader(ctx context.Context, s tree.Stream, cached bool) *streamReader {
	reader := &streamReader{ctx: ctx, repo: r, cached: cached, stack: [][]tree.Ref{s.Refs}}
	if !cached && s.Size() >= aheadFrom {
		reader.ahead = &readAhead{repo: r}
	}
	return reader
}

// Read implements io.Reader.
func (s *streamReader) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo hands whole blobs on, without another copy.
func (s *streamReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(s.rest) == 0 {
			if err := s.fill(); err == io.EOF {
				return total, nil
			} else if err != nil {
				return total, err
			}
		}
		n, err := w.Write(s.rest)
		total += int64(n)
		if err != nil {
			return total, err
		}
		s.rest = nil
	}
}

// Close ends reading ahead.
func (s *streamReader) Close() error {
	s.end, s.failed = fs.ErrClosed, fs.ErrClosed
	s.release()
	if s.ahead != nil {
		s.ahead.close()
		s.ahead = nil
	}
	return nil
}

// fill reads the next blob of content into rest. After an error there is nothing
// but that.
func (s *streamReader) fill() error {
	s.release()
	if s.failed == nil {
		s.failed = s.next()
	}
	return s.failed
}

func (s *streamReader) next() (err error) {
	if s.ahead != nil {
		s.ahead.more(s)
		if s.ahead.count > 0 {
			if s.buffer, err = s.ahead.take(); err == nil {
				s.rest = *s.buffer
			}
			return err
		}
	}
	ref, err := s.head()
	if err != nil {
		return err
	}
	place := s.skip()
	if s.cached {
		data, err := s.repo.cachedBlob(s.ctx, ref.ID)
		if err == nil {
			s.rest, err = data, fits(data, ref)
		}
		return err
	}
	if s.buffer, err = s.repo.lend(s.ctx, ref, place, s.present); err == nil {
		s.rest = *s.buffer
	}
	return err
}

func (s *streamReader) release() {
	if s.buffer != nil {
		s.repo.scratch.put(s.buffer)
	}
	s.buffer, s.rest = nil, nil
}

// head returns the next blob of content; io.EOF after the last.
func (s *streamReader) head() (tree.Ref, error) {
	for s.end == nil {
		if len(s.stack) == 0 {
			s.end = io.EOF
			break
		}
		top := len(s.stack) - 1
		if len(s.stack[top]) == 0 {
			s.stack = s.stack[:top]
			continue
		}
		ref := s.stack[top][0]
		if ref.Level == 0 {
			return ref, nil
		}
		s.stack[top] = s.stack[top][1:]
		list, err := s.repo.List(s.ctx, ref)
		if err != nil {
			s.end = err
			break
		}
		s.stack = append(s.stack, list)
	}
	return tree.Ref{}, s.end
}

// skip goes on behind the blob at the head, and returns its place.
func (s *streamReader) skip() uint64 {
	top := len(s.stack) - 1
	place := s.place
	s.place += s.stack[top][0].Size
	s.stack[top] = s.stack[top][1:]
	return place
}

// lend returns the bytes of a blob of content, which has this place in its
// stream, in a buffer of scratch.
func (r *Repository) lend(ctx context.Context, ref tree.Ref, place uint64, present *presence) (*[]byte, error) {
	buffer := r.scratch.get(int(min(ref.Size, maxBlob)))
	if present.holds(r, *buffer, place, ref) {
		return buffer, nil
	}
	data, err := r.blob(ctx, (*buffer)[:0], ref.ID)
	if err == nil {
		*buffer, err = data, fits(data, ref)
	}
	if err != nil {
		r.scratch.put(buffer)
		return nil, err
	}
	return buffer, nil
}

func fits(data []byte, ref tree.Ref) error {
	if uint64(len(data)) == ref.Size {
		return nil
	}
	return &DamagedError{Object: "blob " + ref.ID.Short(), Err: fmt.Errorf("%d bytes where its stream has %d", len(data), ref.Size)}
}
