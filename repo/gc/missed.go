package gc

import (
	"holdfast/index"
	"holdfast/internal/blob"
)

// What a repair has found lost may come back. Until then what is left of it is kept:
// copies whose bases are lost, and what bases they still have.

// missAt is miss by the place of a copy.
func (t *tracing) missAt(place int) error {
	row, err := t.catalog.RowAt(place)
	if err != nil {
		return err
	}
	return t.miss(row.ID)
}

// miss notes a blob of which no copy is grounded, with those of its bases for which
// that is so, and keeps what there is of both: copies in condemned packs only where
// there are no others, or each collection would copy them out once more.
func (t *tracing) miss(id blob.ID) error {
	t.missed.Add(id)
	from, to, err := t.catalog.Find(id)
	if err != nil {
		return err
	}
	for _, by := range []*grounding{&t.free, &t.any} {
		found := false
		for place := from; place < to; place++ {
			row, err := t.catalog.RowAt(place)
			if err != nil {
				return err
			}
			if !by.packs[row.Pack] {
				continue
			}
			found = true
			if err := t.keepUseless(place, &row); err != nil {
				return err
			}
		}
		if found {
			break
		}
	}
	return nil
}

// keepUseless keeps a copy that is of no use without others.
func (t *tracing) keepUseless(place int, row *index.Row) error {
	if t.kept.Has(place) {
		return nil
	}
	t.kept.Set(place)
	t.remains.Set(place)
	if row.Bases == 0 {
		return nil
	}
	e, err := t.catalog.EntryAt(place)
	if err != nil {
		return err
	}
	return t.keepBases(e.Bases, e.Depth)
}

// keepBases keeps what there is of the bases of such a copy.
func (t *tracing) keepBases(bases []blob.ID, depth uint8) error {
	for _, base := range bases {
		grounded, err := t.any.below(base, depth)
		switch {
		case err != nil:
		case grounded:
			err = t.needBelow(base, depth)
		default:
			err = t.miss(base)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
