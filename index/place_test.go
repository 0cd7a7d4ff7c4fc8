package index

import (
	"os"
	"reflect"
	"testing"

	"holdfast/internal/blob"
)

func TestPlacesAreThoseOfAllCopiesInOrder(t *testing.T) {
	packs := samplePacks(40, id)
	c := build(t, t.TempDir(), inSegments(t, packs, 3))
	names, err := c.Packs()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[blob.ID]bool{}
	place := 0
	var before Row
	for row, err := range c.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		entry, err := c.EntryAt(place)
		if err != nil {
			t.Fatal(err)
		}
		at, err := c.RowAt(place)
		if err != nil || at != row {
			t.Fatalf("place %d: %v, %v, want %v", place, at, err, row)
		}
		same := entry.ID == row.ID && names[row.Pack] == entry.Pack && row.Depth == entry.Depth &&
			row.Sealed == entry.Sealed && row.Length == entry.Length && int(row.Bases) == len(entry.Bases)
		if !same {
			t.Fatalf("place %d: row %v and entry %v", place, row, entry)
		}
		if place > 0 && string(before.ID[:]) > string(row.ID[:]) {
			t.Fatalf("place %d is out of order", place)
		}
		ids[row.ID] = true
		before = row
		place++
	}
	if uint64(place) != c.Len() || place == 0 {
		t.Fatalf("%d rows, want %d", place, c.Len())
	}
	for id := range ids {
		want, err := c.Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := c.Find(id)
		if err != nil || to-from != len(want) {
			t.Fatalf("%s: places %d to %d, %v, want %d", id.Short(), from, to, err, len(want))
		}
		for i := range want {
			if got, err := c.EntryAt(from + i); err != nil || !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("%s: %v, %v, want %v", id.Short(), got, err, want[i])
			}
		}
	}
	if from, to, err := c.Find(id(1 << 20)); from != to || err != nil {
		t.Errorf("a blob that nobody has is at %d to %d, %v", from, to, err)
	}
}

func TestATemporaryCopyLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	c, err := Temporary(t.Context(), dir, inSegments(t, samplePacks(10, id), 2))
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filesIn(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if has, err := c.Has(id(3)); !has || err != nil {
		t.Errorf("it has %v, %v", has, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func filesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
