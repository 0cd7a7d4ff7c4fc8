package repo

import (
	"context"
	"math"
	"sync/atomic"

	"holdfast/internal/delta"
	"holdfast/internal/tree"
)

const (
	// near is how many chunks of the parent stream before and after the expected
	// one are searched for a chunk of the same length, nearer how many for one of
	// nearly the same.
	near, nearer = 8, 2
	// slack is how far from where it is expected, in bytes, the content that a
	// chunk resembles may have moved.
	slack = 8 << 10
	// patience is how many chunks of a stream in a row may resemble nothing before
	// fewer of those that follow are tried.
	patience = 4
)

// base finds, for each chunk of a stream, the blobs of the parent's version of
// the stream that it most likely resembles.
//
// It goes by lengths. Cuts depend on content, so a chunk that has the length of
// one in the parent stream is that chunk, or was edited in place; one that has
// another length was edited, and resembles what follows the last one aligned.
// What was moved is found by three lengths in a row. So base needs no bytes and
// no ids, only that next is called for chunk after chunk in order.
//
// Chunks of the greatest length were cut where nothing asked for a cut. Those that
// follow each other are all alike in that, so their lengths tell nothing, and they
// resemble what is at their place.
type base struct {
	refs    []tree.Ref
	longest uint64    // the greatest length
	at      int       // the ref in which the next chunk is expected to begin
	into    uint64    // and where in it
	last    [3]uint64 // lengths of the chunks up to the one asked for
	inARow  int       // of them that were aligned
	triples map[triple]int
	count   int

	misses atomic.Int32 // chunks in a row that resembled nothing
}

// triple is about the lengths of three chunks in a row, which hardly occur twice.
type triple [3]int16

// newBase returns what a stream of the parent snapshot offers, or nil. Of a
// stream of n chunks it keeps 48 n bytes, and about 40 n more once chunks are not
// found where they are expected.
func newBase(ctx context.Context, r *Repository, parent tree.Stream, longest uint64) (*base, error) {
	if len(parent.Refs) == 0 {
		return nil, nil
	}
	b := &base{refs: parent.Refs, longest: longest}
	if !allLeaves(parent.Refs) {
		b.refs = nil
		err := r.leaves(ctx, parent, func(ref tree.Ref) error {
			b.refs = append(b.refs, ref)
			return nil
		})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil { // a damaged parent costs its differences, not the snapshot; check names it
			return nil, nil
		}
	}
	return b, nil
}

func allLeaves(refs []tree.Ref) bool {
	for _, ref := range refs {
		if ref.Level > 0 {
			return false
		}
	}
	return true
}

// likeness names blobs of the parent stream, in its order, that a chunk may
// resemble, best the one at its place. The zero value names none.
type likeness struct {
	refs  []tree.Ref
	best  int
	count int  // of chunks before this one
	sure  bool // lengths in a row leave hardly a doubt
}

// next returns what the stream's next chunk, of this length, may resemble.
func (b *base) next(length uint64) likeness {
	b.last = [3]uint64{b.last[1], b.last[2], length}
	b.count++
	if place, ok := b.aligned(length); ok {
		b.inARow++
		like := b.around(place, 0, length)
		like.sure = b.inARow > 1
		b.at, b.into = place+1, 0
		return like
	}
	b.inARow = 0
	if b.at >= len(b.refs) {
		return likeness{}
	}
	like := b.around(b.at, b.into, length)
	b.skip(length)
	return like
}

// aligned returns the place of the parent's chunk that has this length or, as an
// edit leaves it, nearly: close to where it is expected, or behind two that are
// about as long as the two before this one.
func (b *base) aligned(length uint64) (place int, ok bool) {
	if length == b.longest {
		return b.at, b.at < len(b.refs) && b.into == 0 && b.refs[b.at].Size == length
	}
	if place, ok = b.beside(near, length, 0); ok {
		return place, true
	}
	if place, ok = b.beside(nearer, length, length/128+512); ok {
		return place, true
	}
	if b.triples == nil && len(b.refs) > near {
		b.triples = make(map[triple]int, len(b.refs))
		for i, told := 0, 0; i < len(b.refs); i++ {
			if told++; b.refs[i].Size == b.longest {
				told = 0
			}
			if told >= len(b.last) {
				b.triples[triple{about(b.refs[i-2].Size, 0), about(b.refs[i-1].Size, 0), about(b.refs[i].Size, 0)}] = i
			}
		}
	}
	// A length may lie at the edge of what counts as about the same.
	for edges := range 1 << 3 {
		var t triple
		for i, length := range b.last {
			t[i] = about(length, 2*(edges>>i&1)-1)
		}
		if place, ok = b.triples[t]; ok {
			b.inARow = len(t) - 1
			return place, true
		}
	}
	return 0, false
}

// about is the same for lengths that differ by up to two per cent; side, -1 or 1,
// shifts it by a third of that.
func about(length uint64, side int) int16 {
	return int16(50*math.Log(float64(length+1)) + float64(side)/3)
}

// beside looks among the chunks up to within of the expected one for a length
// that differs by at most tolerance.
func (b *base) beside(within int, length, tolerance uint64) (place int, ok bool) {
	for away := range within + 1 {
		for _, place := range [...]int{b.at + away, b.at - away} {
			if place >= 0 && place < len(b.refs) && b.refs[place].Size+tolerance >= length && b.refs[place].Size <= length+tolerance {
				return place, true
			}
		}
	}
	return 0, false
}

// skip moves on by length, and to the next cut where that is close: an edit
// changes a chunk's length, but hardly where the next begins.
func (b *base) skip(length uint64) {
	b.into += length
	for b.at < len(b.refs) && b.into >= b.refs[b.at].Size {
		b.into -= b.refs[b.at].Size
		b.at++
	}
	if b.at == len(b.refs) {
		return
	}
	size := b.refs[b.at].Size
	reach := min(slack, size/4)
	if b.into <= reach {
		b.into = 0
	} else if size-b.into <= reach {
		b.at, b.into = b.at+1, 0
	}
}

// around names the blobs from which length bytes come that are expected to begin
// at into of the ref at place, and those beside them.
func (b *base) around(place int, into, length uint64) likeness {
	best, most := place, uint64(0)
	last := place
	for from, end := into, into+length; ; last++ {
		size := b.refs[last].Size
		if overlap := min(size, end) - min(from, size); overlap > most {
			best, most = last, overlap
		}
		if end <= size || last+1 == len(b.refs) {
			break
		}
		from, end = from-min(from, size), end-size
	}
	first := max(0, place-1)
	last = min(last+2, len(b.refs), first+delta.MaxBases)
	return likeness{refs: b.refs[first:last], best: min(best, last-1) - first, count: b.count - 1}
}

// worthTrying tells whether to look for a difference at all. The longer chunks
// resemble nothing, the fewer are tried, but at least one of 64.
func (b *base) worthTrying(like likeness) bool {
	if len(like.refs) == 0 {
		return false
	}
	if like.sure {
		return true
	}
	every := 1 << min(6, b.misses.Load()/patience)
	return like.count%every == 0
}

// tried notes whether a chunk resembled what was expected.
func (b *base) tried(alike bool) {
	if alike {
		b.misses.Store(0)
	} else {
		b.misses.Add(1)
	}
}
