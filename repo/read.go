package repo

import (
	"context"
	"fmt"
	"io"
	"iter"

	"holdfast/internal/tree"
)

// leaves calls f for each blob of content in s, in order.
func (r *Repository) leaves(ctx context.Context, s tree.Stream, f func(tree.Ref) error) error {
	for _, ref := range s.Refs {
		if ref.Level == 0 {
			if err := f(ref); err != nil {
				return err
			}
			continue
		}
		list, err := r.List(ctx, ref)
		if err != nil {
			return err
		}
		if err := r.leaves(ctx, tree.Stream{Refs: list}, f); err != nil {
			return err
		}
	}
	return nil
}

// List reads the list of refs that ref, of level 1 or more, stands for.
func (r *Repository) List(ctx context.Context, ref tree.Ref) ([]tree.Ref, error) {
	data, err := r.cachedBlob(ctx, ref.ID)
	if err != nil {
		return nil, err
	}
	refs, err := tree.DecodeRefs(data, ref.Level)
	if err == nil && (tree.Stream{Refs: refs}).Size() != ref.Size {
		err = fmt.Errorf("its refs add up to another size: %w", tree.ErrInvalid)
	}
	if err != nil {
		return nil, &DamagedError{Object: "list " + ref.ID.Short(), Err: err}
	}
	return refs, nil
}

// Children implements engines.Content.
func (r *Repository) Children(ctx context.Context, directory tree.Entry) iter.Seq2[tree.Entry, error] {
	if directory.Type != tree.Directory {
		return func(yield func(tree.Entry, error) bool) {
			yield(tree.Entry{}, fmt.Errorf("%s is no directory", directory.Name))
		}
	}
	return tree.Entries(r.reader(ctx, directory.Content, true))
}

// Open implements engines.Content.
func (r *Repository) Open(ctx context.Context, file tree.Entry) io.ReadCloser {
	return io.NopCloser(r.reader(ctx, file.Content, false))
}

// reader yields a stream's bytes, blob by blob; every byte has been compared
// with its id.
func (r *Repository) reader(ctx context.Context, s tree.Stream, cached bool) *streamReader {
	return &streamReader{ctx: ctx, repo: r, cached: cached, stack: [][]tree.Ref{s.Refs}}
}

type streamReader struct {
	ctx    context.Context
	repo   *Repository
	cached bool // small and read again soon: keep the blobs
	stack  [][]tree.Ref
	buffer []byte
	rest   []byte
}

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

// fill reads the next blob of content into rest.
func (s *streamReader) fill() error {
	for len(s.stack) > 0 {
		top := len(s.stack) - 1
		if len(s.stack[top]) == 0 {
			s.stack = s.stack[:top]
			continue
		}
		ref := s.stack[top][0]
		s.stack[top] = s.stack[top][1:]
		if ref.Level > 0 {
			list, err := s.repo.List(s.ctx, ref)
			if err != nil {
				return err
			}
			s.stack = append(s.stack, list)
			continue
		}
		return s.load(ref)
	}
	return io.EOF
}

func (s *streamReader) load(ref tree.Ref) (err error) {
	if s.cached {
		s.rest, err = s.repo.cachedBlob(s.ctx, ref.ID)
	} else {
		s.buffer, err = s.repo.blob(s.ctx, s.buffer[:0], ref.ID)
		s.rest = s.buffer
	}
	if err == nil && uint64(len(s.rest)) != ref.Size {
		err = &DamagedError{Object: "blob " + ref.ID.Short(), Err: fmt.Errorf("%d bytes where its stream has %d", len(s.rest), ref.Size)}
	}
	return err
}
