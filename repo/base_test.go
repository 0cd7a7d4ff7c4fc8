package repo

import (
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
)

// stream makes n chunks of lengths as content-defined cuts leave them.
func stream(n int) (refs []tree.Ref) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		refs = append(refs, tree.Ref{ID: blob.ID{byte(i), byte(i >> 8)}, Size: 16<<10 + uint64(r.ExpFloat64()*(64<<10))})
	}
	return refs
}

// resembled returns the places in parent that chunks of these lengths are said
// to resemble most; -1 for none.
func resembled(parent []tree.Ref, lengths ...uint64) (places []int) {
	b := &base{refs: parent}
	for _, length := range lengths {
		like, place := b.next(length), -1
		if len(like.refs) > 0 {
			place = slices.Index(parent, like.refs[like.best])
		}
		places = append(places, place)
	}
	return places
}

func TestChunksResembleThoseAtTheirPlace(t *testing.T) {
	parent := stream(40)
	size := func(i int) uint64 { return parent[i].Size }
	cases := map[string]struct {
		lengths []uint64
		places  []int
	}{
		"nothing changed":      {[]uint64{size(0), size(1), size(2)}, []int{0, 1, 2}},
		"rows grew and shrank": {[]uint64{size(0) + 90, size(1) - 300, size(2), size(3) + 41}, []int{0, 1, 2, 3}},
		"a cut went":           {[]uint64{size(0), size(1) + size(2), size(3) + 7}, []int{0, longer(parent, 1, 2), 3}},
		"a cut came":           {[]uint64{size(0), size(1) / 2, size(1) - size(1)/2, size(2)}, []int{0, 1, 1, 2}},
		"a chunk was inserted": {[]uint64{size(0), 150_001, size(1) + 20, size(2)}, []int{0, longer(parent, 1, 2), 1, 2}},
		"chunks went":          {[]uint64{size(0), size(6), size(7) + 50}, []int{0, 6, 7}},
		// A jump is noticed at its third chunk.
		"the second half first": {[]uint64{size(20) + 60, size(21), size(22) - 17, size(23), size(0), size(1) - 80, size(2) + 9, size(3)}, []int{0, 0, 22, 23, 24, 25, 2, 3}},
		"the stream grew":       {[]uint64{size(0), 99}, []int{0, 1}},
	}
	for name, c := range cases {
		if got := resembled(parent, c.lengths...); !slices.Equal(got, c.places) {
			t.Errorf("%s: %v, want %v", name, got, c.places)
		}
	}
	if got := resembled(parent[:1], size(0), 5); !slices.Equal(got, []int{0, -1}) {
		t.Errorf("behind the parent's end: %v", got)
	}
}

func TestChunksOfTheGreatestLengthResembleThoseAtTheirPlace(t *testing.T) {
	const longest = 100_000
	parent := stream(9)
	for i := range parent {
		parent[i].Size = 50_000 + 3000*uint64(i)
		if i%3 > 0 {
			parent[i].Size = longest
		}
	}
	for name, c := range map[string]struct {
		lengths []uint64
		places  []int
	}{
		"nothing changed":              {[]uint64{50_000, longest, longest, 59_000, longest}, []int{0, 1, 2, 3, 4}},
		"a cut went":                   {[]uint64{longest, longest, 45_000, 59_000}, []int{0, 1, 2, 3}},
		"a cut came":                   {[]uint64{50_000, 70_000, longest, 30_000, 59_000}, []int{0, 1, 2, 2, 3}},
		"two like two others far away": {[]uint64{50_000, longest, longest, 20_000, 48_000 - 9000, longest}, []int{0, 1, 2, 3, 3, 4}},
	} {
		b := &base{refs: parent, longest: longest}
		var places []int
		for _, length := range c.lengths {
			like := b.next(length)
			places = append(places, slices.Index(parent, like.refs[like.best]))
		}
		if !slices.Equal(places, c.places) {
			t.Errorf("%s: %v, want %v", name, places, c.places)
		}
	}
}

func longer(refs []tree.Ref, i, j int) int {
	if refs[i].Size >= refs[j].Size {
		return i
	}
	return j
}

func TestAChunkIsNeverOfferedMoreBasesThanADeltaHas(t *testing.T) {
	parent := stream(40)
	for i := range parent {
		parent[i].Size = 1000
	}
	b := &base{refs: parent}
	for length := range uint64(200) {
		like := b.next(length * 977 % 50_000)
		if len(like.refs) > 8 || len(like.refs) > 0 && like.best >= len(like.refs) {
			t.Fatalf("%d bases, best %d", len(like.refs), like.best)
		}
	}
}

func TestWhatResemblesNothingIsTriedLessAndLess(t *testing.T) {
	parent := stream(1)
	b := &base{refs: parent}
	tried := 0
	for range 10_000 {
		b.at, b.into = 0, 0
		if b.worthTrying(b.next(5)) {
			tried++
			b.tried(false)
		}
	}
	if tried < 10_000/64 || tried > 10_000/64+100 {
		t.Errorf("%d of 10000 tried", tried)
	}
	other := &base{refs: stream(3)}
	other.misses.Store(1000)
	for i, ref := range other.refs {
		if worth := other.worthTrying(other.next(ref.Size)); i > 0 && !worth {
			t.Error("not tried although lengths in a row are the same")
		}
	}
	b.tried(true)
	b.at, b.into = 0, 0
	if !b.worthTrying(b.next(5)) {
		t.Error("not tried after one that did resemble")
	}
}
