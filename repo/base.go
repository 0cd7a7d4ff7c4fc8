package repo

import (
	"context"
	"sort"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/delta"
	"holdfast/internal/tree"
)

// slack is how far the bytes that a chunk resembles may have moved since the
// last chunk that was found again unchanged.
const slack = 24 << 10

// newBase returns what a stream of the parent snapshot offers, or nil.
func newBase(r *Repository, parent tree.Stream) *base {
	if len(parent.Refs) == 0 {
		return nil
	}
	return &base{repo: r, stream: parent}
}

// base finds, for a new chunk of a stream, the blobs of the parent's version of
// that stream which most likely resemble it: those at the same distance from the
// last chunk that both have.
type base struct {
	repo   *Repository
	stream tree.Stream

	mu     sync.Mutex
	loaded bool
	refs   []tree.Ref
	starts []uint64
	places map[blob.ID]int
	last   anchor
}

// anchor is a place in the new stream and the same place in the parent's.
type anchor struct{ here, there uint64 }

// load reads the parent stream's list of blobs, once. It needs mu.
func (b *base) load(ctx context.Context) error {
	if b.loaded {
		return nil
	}
	b.loaded = true
	b.places = map[blob.ID]int{}
	var start uint64
	err := b.repo.leaves(ctx, b.stream, func(r tree.Ref) error {
		if _, again := b.places[r.ID]; !again {
			b.places[r.ID] = len(b.refs)
		}
		b.refs = append(b.refs, r)
		b.starts = append(b.starts, start)
		start += r.Size
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil { // a damaged parent costs its differences, not the snapshot; check names it
		b.refs, b.starts, b.places = nil, nil, nil
	}
	return nil
}

// found notes that the chunk at offset of the new stream has this id.
func (b *base) found(ctx context.Context, id blob.ID, offset uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx); err != nil {
		return err
	}
	if place, ok := b.places[id]; ok && offset >= b.last.here {
		b.last = anchor{offset, b.starts[place]}
	}
	return nil
}

// candidates are the bases of one delta: at most delta.MaxBases blobs, the
// deepest of which has a copy of this depth.
type candidates struct {
	ids   []blob.ID
	data  [][]byte
	depth uint8
}

// around returns the blobs where the chunk of this length at offset is expected
// in the parent stream.
func (b *base) around(ctx context.Context, offset uint64, length int) (candidates, error) {
	refs, err := b.window(ctx, offset, length)
	if err != nil {
		return candidates{}, err
	}
	var found candidates
	left := chainBudget{deltas: maxChain, bytes: length}
	for _, ref := range refs {
		depth, ok := b.repo.chain(ref.ID, &left)
		if !ok {
			continue // too long a chain: this blob becomes whole again
		}
		data, err := b.repo.cachedBlob(ctx, ref.ID)
		if err != nil {
			continue // a damaged base is no base; check names it
		}
		found.ids = append(found.ids, ref.ID)
		found.data = append(found.data, data)
		found.depth = max(found.depth, depth)
	}
	return found, nil
}

func (b *base) window(ctx context.Context, offset uint64, length int) ([]tree.Ref, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	expected := int64(offset) - int64(b.last.here) + int64(b.last.there)
	from, to := uint64(max(0, expected-slack)), uint64(max(0, expected+int64(length)+slack))
	first := sort.Search(len(b.refs), func(i int) bool { return b.starts[i]+b.refs[i].Size > from })
	last := sort.Search(len(b.refs), func(i int) bool { return b.starts[i] >= to })
	last = min(last, first+delta.MaxBases)
	if first >= last {
		return nil, nil
	}
	return b.refs[first:last], nil
}
