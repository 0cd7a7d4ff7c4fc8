package gc

import (
	"holdfast/internal/blob"
	"holdfast/repo"
	"holdfast/repo/trace"
)

// choice decides which copies of blobs are kept: for each blob that is needed, of
// the copies that are grounded in free packs the one of lowest depth; where there
// is none, of those grounded in all packs that exist. The bases of a kept copy are
// needed too, with a copy of lower depth. The lowest depth serves everybody who
// needs the blob, and is the cheapest to read.
type choice struct {
	catalog *repo.Catalog
	kept    trace.Bits // copies, by place
	free    grounding  // in packs that exist and are not condemned
	any     grounding  // in packs that exist
}

func newChoice(catalog *repo.Catalog, state func(pack [32]byte) (exists, free bool)) *choice {
	c := &choice{catalog: catalog, kept: trace.NewBits(int(catalog.Len()))}
	c.free, c.any = newGrounding(catalog), newGrounding(catalog)
	for i := range catalog.Packs {
		exists, free := state(catalog.Packs[i].Name)
		c.any.packs[i], c.free.packs[i] = exists, free
	}
	return c
}

// need keeps a copy of the blob whose first copy has this place.
func (c *choice) need(place int) error {
	row, err := c.catalog.RowAt(place)
	if err != nil {
		return err
	}
	return c.needBelow(row.ID, 256)
}

// needBelow keeps a copy of a depth below the bound, and what that takes. It goes
// down from a copy to bases of lower depth, so at most 255 times.
func (c *choice) needBelow(id blob.ID, bound int) error {
	from, to, err := c.catalog.Find(id)
	if err != nil {
		return err
	}
	for _, by := range []*grounding{nil, &c.free, &c.any} {
		for place := from; place < to; place++ {
			row, err := c.catalog.RowAt(place)
			if err != nil {
				return err
			}
			if int(row.Depth) >= bound {
				break
			}
			if by == nil {
				if c.kept.Has(place) {
					return nil
				}
				continue
			}
			if ok, err := by.has(place); err != nil {
				return err
			} else if ok {
				return c.keep(place)
			}
		}
	}
	return missing(id, "")
}

func (c *choice) keep(place int) error {
	c.kept.Set(place)
	e, err := c.catalog.EntryAt(place)
	if err != nil {
		return err
	}
	for _, base := range e.Bases {
		if err := c.needBelow(base, int(e.Depth)); err != nil {
			return err
		}
	}
	return nil
}

// grounding tells which copies are grounded in some packs: they lie in one of
// these, and each of their bases has a copy of lower depth that is grounded in
// them. What was found out is remembered, so each copy is looked at once.
type grounding struct {
	catalog *repo.Catalog
	packs   []bool // by place
	known   trace.Bits
	yes     trace.Bits
}

func newGrounding(catalog *repo.Catalog) grounding {
	n := int(catalog.Len())
	return grounding{catalog, make([]bool, len(catalog.Packs)), trace.NewBits(n), trace.NewBits(n)}
}

func (g *grounding) has(place int) (bool, error) {
	if g.known.Has(place) {
		return g.yes.Has(place), nil
	}
	row, err := g.catalog.RowAt(place)
	if err != nil {
		return false, err
	}
	is := g.packs[row.Pack]
	if is && row.Depth > 0 {
		if is, err = g.based(place); err != nil {
			return false, err
		}
	}
	g.known.Set(place)
	if is {
		g.yes.Set(place)
	}
	return is, nil
}

func (g *grounding) based(place int) (bool, error) {
	e, err := g.catalog.EntryAt(place)
	if err != nil {
		return false, err
	}
	for _, base := range e.Bases {
		if ok, err := g.below(base, e.Depth); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (g *grounding) below(id blob.ID, bound uint8) (bool, error) {
	from, to, err := g.catalog.Find(id)
	if err != nil {
		return false, err
	}
	for place := from; place < to; place++ {
		row, err := g.catalog.RowAt(place)
		if err != nil || row.Depth >= bound {
			return false, err
		}
		if ok, err := g.has(place); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
