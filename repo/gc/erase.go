package gc

import (
	"context"

	"holdfast/repo"
	"holdfast/repo/trace"
)

// What only deleted snapshots had may live on as the base of something kept. An
// erasing collection stores whole, once more, what would need it. It is told by a
// date in the list when that was done last.

// erasing reports whether this collection erases.
func (c *collection) erasing() bool {
	last := c.list.Erased
	return c.Erase || c.BaseRetention > 0 && !last.IsZero() && !c.Now().Before(last.Add(c.BaseRetention))
}

// erase stores whole what depends on blobs that no snapshot needs for themselves,
// and reports whether there was any: then all has to be traced again.
func (c *collection) erase(ctx context.Context, s *survey, t *tracing) (again bool, err error) {
	if c.erased || !c.erasing() {
		return false, nil
	}
	dependent, err := t.dependent(s)
	if err != nil {
		return false, err
	}
	if dependent.Count() > 0 {
		c.Progress("erasing", 0)
		err = c.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
			for place := range dependent.All() {
				if err := c.wholly(ctx, w, s, t, place); err != nil {
					return err
				}
			}
			return nil
		})
	}
	c.erased = err == nil
	return dependent.Count() > 0, err
}

func (c *collection) wholly(ctx context.Context, w *repo.Writer, s *survey, t *tracing, place int) error {
	e, err := s.catalog.EntryAt(place)
	if err != nil {
		return err
	}
	from, _, err := s.catalog.Find(e.ID)
	if err != nil {
		return err
	}
	c.report.Copied += uint64(e.Length)
	c.Progress("erasing", int64(e.Length))
	return w.Whole(ctx, &e, t.isListing(place, from))
}

// dependent returns the copies of blobs that lasting snapshots need which have a
// base that these do not need; and notes the packs in which such bases lie.
func (t *tracing) dependent(s *survey) (trace.Bits, error) {
	dependent := trace.NewBits(int(s.catalog.Len()))
	t.tainted = map[[32]byte]bool{}
	for place := range t.lasting.All() {
		row, err := s.catalog.RowAt(place)
		if err != nil {
			return nil, err
		}
		e, err := s.catalog.EntryAt(place)
		if err != nil {
			return nil, err
		}
		first, _, err := s.catalog.Find(e.ID)
		if err != nil {
			return nil, err
		}
		if !t.wanted.Has(first) {
			t.tainted[e.Pack.Name] = true
			continue
		}
		if ok, err := t.any.has(place, &row); err != nil {
			return nil, err
		} else if !ok {
			continue // cannot be read
		}
		for _, base := range e.Bases {
			from, to, err := s.catalog.Find(base)
			if err != nil {
				return nil, err
			}
			if from < to && !t.wanted.Has(from) {
				dependent.Set(place)
			}
		}
	}
	return dependent, nil
}
