package gc

import (
	"math"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/repo/trace"
)

// keepSeconds keeps what there is twice of what is read to walk snapshots. Nothing
// relies on it: it is there for the day on which a pack is lost.
func (t *tracing) keepSeconds(walking trace.Bits) error {
	for place := range walking.All() {
		row, err := t.catalog.RowAt(place)
		if err != nil {
			return err
		}
		if err := t.keepSecond(row.ID); err != nil {
			return err
		}
	}
	return nil
}

// keepSecond keeps, of a blob of which a copy is kept, one more in another pack, if
// there is one whose bases are kept anyway; and the same of its bases.
func (c *choice) keepSecond(id blob.ID) error {
	from, copies, err := copiesBelow(c.catalog, id, math.MaxUint8)
	if err != nil {
		return err
	}
	first := -1
	for i := range copies {
		switch {
		case c.second.Has(from + i):
			return nil
		case first < 0 && c.kept.Has(from+i):
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	for _, by := range []*grounding{&c.free, &c.any} {
		for i := range copies {
			if copies[i].Pack == copies[first].Pack {
				continue
			}
			if ok, err := c.serves(from+i, &copies[i], by); err != nil {
				return err
			} else if ok {
				c.kept.Set(from + i)
				c.second.Set(from + i)
				return c.keepSecondBases(from+first, &copies[first])
			}
		}
	}
	return nil
}

func (c *choice) keepSecondBases(place int, row *index.Row) error {
	if row.Bases == 0 {
		return nil
	}
	e, err := c.catalog.EntryAt(place)
	if err != nil {
		return err
	}
	for _, base := range e.Bases {
		if err := c.keepSecond(base); err != nil {
			return err
		}
	}
	return nil
}

// serves reports whether a copy is grounded, and has only bases of which a copy is
// kept that it can use.
func (c *choice) serves(place int, row *index.Row, by *grounding) (bool, error) {
	if ok, err := by.has(place, row); !ok || err != nil || row.Bases == 0 {
		return ok, err
	}
	e, err := c.catalog.EntryAt(place)
	if err != nil {
		return false, err
	}
	for _, base := range e.Bases {
		from, usable, err := copiesBelow(c.catalog, base, e.Depth)
		if err != nil {
			return false, err
		}
		kept := false
		for i := range usable {
			kept = kept || c.kept.Has(from+i)
		}
		if !kept {
			return false, nil
		}
	}
	return true, nil
}
