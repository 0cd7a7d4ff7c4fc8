package repo

import (
	"context"

	"holdfast/internal/tree"
)

const (
	// inlineRefs is the longest list of refs that stands in an entry itself.
	inlineRefs = 32
	// Lists of refs are cut where a ref's id ends in eight zero bits, so that
	// equal runs of refs become equal lists, but not shorter or longer than this.
	minList, maxList = 64, 1024
)

// listWriter keeps the refs of a stream of any length in bounded memory: full
// lists become blobs, and their refs go to the next level.
type listWriter struct{ levels [][]tree.Ref }

func (l *listWriter) add(ctx context.Context, w *Writer, level int, ref tree.Ref) error {
	if level == len(l.levels) {
		l.levels = append(l.levels, nil)
	}
	list := append(l.levels[level], ref)
	l.levels[level] = list
	if n := len(list); n == maxList || n >= minList && ref.ID[31] == 0 {
		return l.close(ctx, w, level)
	}
	return nil
}

// close stores the list at level and adds its ref to the next.
func (l *listWriter) close(ctx context.Context, w *Writer, level int) error {
	ref, err := w.putList(ctx, l.levels[level])
	if err != nil {
		return err
	}
	l.levels[level] = l.levels[level][:0]
	return l.add(ctx, w, level+1, ref)
}

func (w *Writer) putList(ctx context.Context, refs []tree.Ref) (tree.Ref, error) {
	ref := tree.Ref{}
	for _, r := range refs {
		ref.Size += r.Size
		ref.Level = max(ref.Level, r.Level+1)
	}
	var err error
	ref.ID, err = w.putBlob(ctx, listings, tree.AppendRefs(nil, refs))
	return ref, err
}

func (l *listWriter) finish(ctx context.Context, w *Writer) (tree.Stream, error) {
	for level := 0; level < len(l.levels); level++ {
		list := l.levels[level]
		top := level == len(l.levels)-1
		if top && len(list) <= inlineRefs {
			return tree.Stream{Refs: list}, nil
		}
		if len(list) == 0 {
			continue
		}
		if err := l.close(ctx, w, level); err != nil {
			return tree.Stream{}, err
		}
	}
	return tree.Stream{}, nil
}

// join makes one stream of several.
func (w *Writer) join(ctx context.Context, parts []tree.Stream) (tree.Stream, error) {
	var l listWriter
	for _, part := range parts {
		for _, ref := range part.Refs {
			if err := l.add(ctx, w, 0, ref); err != nil {
				return tree.Stream{}, err
			}
		}
	}
	return l.finish(ctx, w)
}
