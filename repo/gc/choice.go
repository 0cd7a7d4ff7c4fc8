package gc

import (
	"holdfast/index"
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
	second  trace.Bits // of these, those that are kept beside another one
	remains trace.Bits // of these, those that were kept though perhaps not all is there that they need: nothing relies on that
	free    grounding  // in packs that exist and are not condemned
	any     grounding  // in packs that exist
}

func newChoice(catalog *repo.Catalog, state func(pack [32]byte) (exists, free bool)) *choice {
	c := &choice{catalog: catalog, kept: trace.NewBits(int(catalog.Len())), second: trace.NewBits(int(catalog.Len())), remains: trace.NewBits(int(catalog.Len()))}
	c.free, c.any = newGrounding(catalog), newGrounding(catalog)
	for i := range catalog.Packs {
		exists, free := state(catalog.Packs[i].Name)
		c.any.packs[i], c.free.packs[i] = exists, free
	}
	return c
}

// need keeps a copy of the blob whose first copy has this place. The others follow it.
func (c *choice) need(place int) error {
	first, err := c.catalog.RowAt(place)
	if err != nil {
		return err
	}
	copies := []index.Row{first}
	for next := place + 1; next < int(c.catalog.Len()); next++ {
		row, err := c.catalog.RowAt(next)
		if err != nil {
			return err
		}
		if row.ID != first.ID {
			break
		}
		copies = append(copies, row)
	}
	return c.needOne(place, copies)
}

// needBelow keeps a copy of a depth below the bound, and what that takes. It goes
// down from a copy to bases of lower depth, so at most 255 times.
func (c *choice) needBelow(id blob.ID, bound uint8) error {
	from, copies, err := copiesBelow(c.catalog, id, bound)
	if err != nil {
		return err
	}
	if len(copies) == 0 {
		return missing(id, "")
	}
	return c.needOne(from, copies)
}

// copiesBelow returns a blob's copies of a depth below the bound, and the place of
// the first of them.
func copiesBelow(catalog *repo.Catalog, id blob.ID, bound uint8) (from int, copies []index.Row, err error) {
	from, to, err := catalog.Find(id)
	for place := from; place < to && err == nil; place++ {
		var row index.Row
		if row, err = catalog.RowAt(place); err != nil || row.Depth >= bound {
			break
		}
		copies = append(copies, row)
	}
	return from, copies, err
}

// needOne keeps one of a blob's copies, which have the places from first on.
func (c *choice) needOne(first int, copies []index.Row) error {
	for i := range copies {
		if c.kept.Has(first+i) && !c.remains.Has(first+i) {
			return nil
		}
	}
	for _, by := range []*grounding{&c.free, &c.any} {
		for i := range copies {
			if ok, err := by.has(first+i, &copies[i]); err != nil {
				return err
			} else if ok {
				return c.keep(first+i, &copies[i])
			}
		}
	}
	return missing(copies[0].ID, "")
}

func (c *choice) keep(place int, row *index.Row) error {
	c.kept.Set(place)
	if row.Bases == 0 {
		return nil
	}
	e, err := c.catalog.EntryAt(place)
	if err != nil {
		return err
	}
	for _, base := range e.Bases {
		if err := c.needBelow(base, e.Depth); err != nil {
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

func (g *grounding) has(place int, row *index.Row) (is bool, err error) {
	if g.known.Has(place) {
		return g.yes.Has(place), nil
	}
	is = g.packs[row.Pack]
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
	from, copies, err := copiesBelow(g.catalog, id, bound)
	if err != nil {
		return false, err
	}
	for i := range copies {
		if ok, err := g.has(from+i, &copies[i]); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
