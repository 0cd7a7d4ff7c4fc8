package index

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/internal/blob"
)

// Index is what a repository looks its blobs up in: the local copy, if there is
// one, and the segments that are not in it.
type Index struct {
	mu    sync.Mutex // of those who change parts
	parts atomic.Pointer[parts]
}

// parts is not changed once it can be seen.
type parts struct {
	copy     *Copy // nil: none
	segments []*Segment
}

// New returns the index over a copy, which may be nil and belongs to the Index
// from now on, and segments.
func New(local *Copy, segments ...*Segment) *Index {
	x := new(Index)
	x.parts.Store(&parts{copy: local, segments: slices.Clone(segments)})
	return x
}

// Add lets what a segment knows be found from now on.
func (x *Index) Add(s *Segment) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.parts.Load()
	x.parts.Store(&parts{copy: old.copy, segments: append(slices.Clone(old.segments), s)})
}

// Replace makes the index one over another copy and other segments, for everyone
// who uses it, and closes the copy before if it is another one.
func (x *Index) Replace(local *Copy, segments ...*Segment) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.parts.Swap(&parts{copy: local, segments: slices.Clone(segments)})
	if old.copy == nil || old.copy == local {
		return nil
	}
	return old.copy.Close()
}

// Close closes the local copy. What is asked afterwards is fs.ErrClosed.
func (x *Index) Close() error {
	if local := x.parts.Load().copy; local != nil {
		return local.Close()
	}
	return nil
}

// Has reports whether a copy of the blob is known. It allocates nothing.
func (x *Index) Has(id blob.ID) (bool, error) { return ask(x, id, (*parts).has) }

// Lookup returns the copies of a blob, each once, lowest depth first; none if
// none is known.
func (x *Index) Lookup(id blob.ID) ([]Entry, error) { return ask(x, id, (*parts).lookup) }

// ask asks the parts, and asks again if what failed is a copy that was closed
// because another one has taken its place.
func ask[T any](x *Index, id blob.ID, question func(*parts, blob.ID) (T, error)) (T, error) {
	for {
		p := x.parts.Load()
		answer, err := question(p, id)
		if err == nil || !errors.Is(err, fs.ErrClosed) || x.parts.Load() == p {
			return answer, err
		}
	}
}

// Packs returns the packs that the index names. One can come more than once.
func (x *Index) Packs() ([]Pack, error) {
	return ask(x, blob.ID{}, func(p *parts, _ blob.ID) (packs []Pack, err error) {
		if p.copy != nil {
			packs, err = p.copy.Packs()
		}
		for _, s := range p.segments {
			packs = append(packs, s.packs...)
		}
		return packs, err
	})
}

func (p *parts) has(id blob.ID) (bool, error) {
	if p.copy != nil {
		if has, err := p.copy.Has(id); has || err != nil {
			return has, err
		}
	}
	for _, s := range p.segments {
		if has, err := s.Has(id); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

func (p *parts) lookup(id blob.ID) ([]Entry, error) {
	var entries []Entry
	if p.copy != nil {
		var err error
		if entries, err = p.copy.Lookup(id); err != nil {
			return nil, err
		}
	}
	for _, s := range p.segments {
		more, err := s.Lookup(id)
		if err != nil {
			return nil, err
		}
		entries = merge(entries, more)
	}
	return entries, nil
}

// merge keeps one of what two segments tell of the same place.
func merge(entries, more []Entry) []Entry {
	if len(entries) == 0 || len(more) == 0 {
		return append(entries, more...)
	}
	entries = append(entries, more...)
	slices.SortStableFunc(entries, byDepth)
	return slices.CompactFunc(entries, func(a, b Entry) bool { return byDepth(a, b) == 0 })
}

// byDepth is the order of one blob's copies.
func byDepth(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Depth, b.Depth), bytes.Compare(a.Pack.Name[:], b.Pack.Name[:]), cmp.Compare(a.Number, b.Number))
}
