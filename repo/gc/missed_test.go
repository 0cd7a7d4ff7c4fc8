package gc

import (
	"errors"
	"testing"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/repo"
)

// TestWhatIsLeftServesNobody: a copy that is kept though its base is lost is not taken
// for one that whoever needs the blob can read.
func TestWhatIsLeftServesNobody(t *testing.T) {
	free, condemned := index.Pack{Name: [32]byte{1}, Size: 1 << 20}, index.Pack{Name: [32]byte{2}, Size: 1 << 20}
	whole, based, wanted, lost := blob.ID{1}, blob.ID{2}, blob.ID{3}, blob.ID{4}
	number := uint32(0)
	entry := func(id blob.ID, depth uint8, bases ...blob.ID) index.Entry {
		number++
		e := index.Entry{ID: id, Number: number, Offset: 1000 * number, Length: 100, Sealed: 100, Depth: depth, Bases: bases}
		if depth > 0 {
			e.Encoding = 2
		}
		return e
	}
	var b index.Builder
	b.AddPack(free, []index.Entry{entry(whole, 0), entry(based, 1, lost), entry(wanted, 2, based)})
	b.AddPack(condemned, []index.Entry{entry(based, 3, whole)})
	plain, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	segment, err := index.OpenMemory(plain)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := index.Temporary(t.Context(), t.TempDir(), map[index.SegmentName]*index.Segment{{1}: segment})
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	catalog := &repo.Catalog{Copy: merged}
	if catalog.Packs, err = merged.Packs(); err != nil {
		t.Fatal(err)
	}
	c := &tracing{choice: newChoice(catalog, func(p [32]byte) (exists, isFree bool) { return true, p == free.Name })}
	place := func(id blob.ID) int {
		from, to, err := catalog.Find(id)
		if err != nil || from == to {
			t.Fatal(id, err)
		}
		return from
	}
	if _, missing := errors.AsType[*repo.MissingError](c.need(place(wanted))); !missing {
		t.Fatal("its base can be read")
	}
	if err := errors.Join(c.missAt(place(wanted)), c.need(place(based))); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []int{place(wanted), place(based), place(based) + 1, place(whole)} {
		if !c.kept.Has(kept) {
			t.Errorf("the copy at %d is not kept", kept)
		}
	}
}
