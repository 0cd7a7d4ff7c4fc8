package gc

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/repo"
	"holdfast/repo/trace"
)

// tracing is which copies stay (G7).
type tracing struct {
	*choice
	// lasting are the copies that the snapshots without a purge record need; kept has
	// what the others need besides.
	lasting trace.Bits
	wanted  trace.Bits // by place of a blob's first copy: they need it for itself, not as a base
	tainted map[[32]byte]bool
	walking trace.Bits // by place of a blob's first copy: is read to walk snapshots
	missed  repo.Missed
	sealed  []uint64 // bytes of all copies in each pack
	needed  []uint64 // of those, of the lasting ones
}

// roots marks what snapshots need. A blob that nobody has ends it, unless it is
// known that the snapshot has lost something: then what is left is kept, in case
// the rest comes back, and what is not is noted.
type roots struct {
	lenient bool
	missed  *repo.Missed
}

func (r *roots) Blob(at trace.Where, id blob.ID, from, to int) (bool, error) {
	switch {
	case from < to:
		return true, nil
	case r.lenient:
		r.missed.Add(id)
		return false, nil
	}
	return false, missing(id, at.String())
}

func (r *roots) Unreadable(_ trace.Where, object string, err error) error {
	if r.lenient {
		return nil
	}
	return fmt.Errorf("nothing was collected, because %s cannot be read: %w", object, err)
}

func missing(id blob.ID, path string) error {
	where := ""
	if path != "" {
		where = " of " + path
	}
	return fmt.Errorf("nothing was collected, because something is missing%s; \"holdfast repo check\" says what: %w",
		where, &repo.MissingError{Object: "blob " + id.Short()})
}

func (c *collection) trace(ctx context.Context, s *survey) (*tracing, error) {
	c.Progress("tracing", 0)
	condemned := c.list.Packs()
	t := &tracing{choice: newChoice(s.catalog, func(p [32]byte) (exists, free bool) {
		return !s.absent[p], !s.absent[p] && !condemned[p]
	})}
	strictly := &roots{missed: &t.missed}
	w := trace.New(c.repo, s.catalog, strictly)
	take := func(snapshots []*repo.Snapshot, lenient bool) error {
		strictly.lenient = lenient
		return t.take(ctx, w, snapshots, lenient)
	}
	for _, lenient := range []bool{false, true} {
		if err := take(s.lasting, lenient); err != nil {
			return nil, err
		}
	}
	if err := c.keepForUnnamed(ctx, s, t); err != nil {
		return nil, err
	}
	if err := t.keepSeconds(w.Walking()); err != nil {
		return nil, err
	}
	t.lasting, t.wanted = t.kept.Clone(), w.Reached().Clone()
	for _, lenient := range []bool{false, true} {
		if err := take(s.going, lenient); err != nil {
			return nil, err
		}
	}
	t.walking = w.Walking()
	if err := t.keepSeconds(t.walking); err != nil {
		return nil, err
	}
	return t, t.weigh(s)
}

// isListing reports whether a copy goes to the packs of listings. A second one goes
// to another pack than the first.
func (t *tracing) isListing(place, first int) bool {
	return t.walking.Has(first) && !t.second.Has(place)
}

// take keeps what snapshots need; leniently, what is left of those that a repair
// has found damaged, as they were before.
func (t *tracing) take(ctx context.Context, w *trace.Walker, snapshots []*repo.Snapshot, lenient bool) error {
	before := w.Reached().Clone()
	for _, s := range snapshots {
		root := s.Root
		if lenient {
			if s.Damage == nil {
				continue
			}
			root = s.Whole
		}
		if _, err := w.Walk(ctx, root); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Name, err)
		}
	}
	for place := range w.Reached().All() {
		if before.Has(place) {
			continue
		}
		err := t.need(place)
		if _, lost := errors.AsType[*repo.MissingError](err); lost && lenient {
			err = t.missAt(place)
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// weigh adds up what of each pack is needed.
func (t *tracing) weigh(s *survey) error {
	t.sealed, t.needed = make([]uint64, len(s.catalog.Packs)), make([]uint64, len(s.catalog.Packs))
	place := 0
	for row, err := range s.catalog.Rows() {
		if err != nil {
			return err
		}
		t.sealed[row.Pack] += uint64(row.Sealed)
		if t.lasting.Has(place) {
			t.needed[row.Pack] += uint64(row.Sealed)
		}
		place++
	}
	return nil
}
