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

// Open implements engines.Content. A long stream is read ahead, on all cores;
// Close ends that.
func (r *Repository) Open(ctx context.Context, file tree.Entry) io.ReadCloser {
	return r.reader(ctx, file.Content, false)
}

// OpenPresent implements engines.PresentContent.
func (r *Repository) OpenPresent(ctx context.Context, file tree.Entry, present io.ReaderAt) io.ReadCloser {
	reader := r.reader(ctx, file.Content, false)
	reader.present = &presence{at: present}
	return reader
}
