package gc

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"holdfast/index"
	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/trace"
)

// packsOf returns the packs of some groups.
func packsOf(list *repo.Condemned, groups map[uint64]bool) map[[32]byte]bool {
	return list.PacksOf(func(g *repo.Group) bool { return groups[g.Number] })
}

// evacuate copies what is wanted of packs into new ones, pack by pack, and publishes
// segments for these (G8, G9).
func (c *collection) evacuate(ctx context.Context, s *survey, t *tracing, packs map[[32]byte]bool, wanted trace.Bits) error {
	has, err := s.bytesOf(wanted)
	if err != nil {
		return err
	}
	return c.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		for _, name := range sortedPacks(packs) {
			if has[name] == 0 {
				continue
			}
			if err := c.empty(ctx, w, s, t, name, wanted); err != nil {
				return err
			}
		}
		return nil
	})
}

// bytesOf returns the packs in which some of the copies lie, and how many bytes
// these take there.
func (s *survey) bytesOf(copies trace.Bits) (map[[32]byte]uint64, error) {
	packs := map[[32]byte]uint64{}
	for place := range copies.All() {
		row, err := s.catalog.RowAt(place)
		if err != nil {
			return nil, err
		}
		packs[s.catalog.Packs[row.Pack].Name] += uint64(row.Sealed)
	}
	return packs, nil
}

// empty copies what is wanted of one pack, in the order in which it lies there.
func (c *collection) empty(ctx context.Context, w *repo.Writer, s *survey, t *tracing, name [32]byte, wanted trace.Bits) error {
	_, placed, err := c.repo.PackDirectory(ctx, name, s.stored[name])
	if err != nil {
		return err
	}
	for i := range placed {
		from, to, err := s.catalog.Find(placed[i].ID)
		if err != nil {
			return err
		}
		for place := from; place < to; place++ {
			if !wanted.Has(place) {
				continue
			}
			e, err := s.catalog.EntryAt(place)
			if err != nil {
				return err
			}
			if e.Pack.Name != name || e.Number != placed[i].Number {
				continue
			}
			if err := w.Move(ctx, &e, t.isListing(place, from)); err != nil {
				return err
			}
			c.report.Copied += uint64(e.Sealed)
			c.Progress("copying", int64(e.Sealed))
		}
	}
	return nil
}

// finish removes what belongs to swept groups, and makes few segments of many
// (G11). absent are packs that the index names and that are not there; nothing
// needs them.
func (c *collection) finish(ctx context.Context, absent map[[32]byte]bool) error {
	// Whoever looks for what was copied has to see the segments that name the copies.
	if err := sleep(ctx, c.Settle); err != nil {
		return err
	}
	swept := map[uint64]bool{}
	for _, g := range c.list.Groups {
		if g.State == repo.GroupSwept && !c.finished[g.Number] {
			swept[g.Number] = true
		}
	}
	packs := packsOf(c.list, swept)
	if c.full != nil { // the index has no room before
		if err := c.removeAll(ctx, swept); err != nil {
			return err
		}
	}
	before, err := c.isRemade(ctx, swept)
	if err != nil {
		return err
	}
	old, err := c.reindex(ctx, func(pack [32]byte) bool { return packs[pack] || absent[pack] })
	if c.full != nil && errors.Is(err, storage.ErrFull) {
		return nil // it names packs that are gone, which harms nobody, and the list goes on telling so
	}
	if err != nil {
		return err
	}
	if err := c.removeAll(ctx, swept); err != nil {
		return err
	}
	after, err := c.isRemade(ctx, swept)
	if err != nil {
		return err
	}
	if !before && !after {
		maps.Copy(c.finished, swept)
	}
	if len(old) == 0 {
		return nil
	}
	// Whoever looks for what they said has to see the segments that say it now.
	if err := sleep(ctx, c.Settle); err != nil {
		return err
	}
	return c.repo.RemoveSegments(ctx, old)
}

// isRemade reports whether somebody is making the index anew, who may have seen packs of
// these groups, and name them: the list tells that they were deleted, until he is done.
func (c *collection) isRemade(ctx context.Context, swept map[uint64]bool) (bool, error) {
	if len(swept) == 0 {
		return false, nil
	}
	open, err := c.repo.Sessions(ctx)
	return slices.ContainsFunc(open, func(a repo.Announced) bool { return a.Kind == repo.RebuildIndex || a.Kind == repo.Repair }), err
}

// removeAll removes what belongs to some groups.
func (c *collection) removeAll(ctx context.Context, swept map[uint64]bool) error {
	for _, g := range c.list.Groups {
		if swept[g.Number] && !c.removed[g.Number] {
			if err := c.remove(ctx, &g); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes what is left of a swept group: an earlier collection may have removed
// some of it, or all, and told so.
func (c *collection) remove(ctx context.Context, g *repo.Group) error {
	there := 0
	for _, p := range g.Packs {
		size, err := c.repo.RemovePack(ctx, p)
		if err != nil {
			return err
		}
		if size > 0 {
			there++
		}
		c.report.Freed.Bytes += uint64(size)
		c.room += uint64(size)
		c.Progress("deleting", 0)
	}
	for _, n := range g.Dead {
		if err := c.repo.RemoveSnapshot(ctx, n); err != nil {
			return err
		}
	}
	if c.report.Freed.Packs += there; there > 0 {
		c.report.Freed.Gain += g.Bytes
	}
	c.removed[g.Number] = true
	return nil
}

const (
	// Segments with fewer entries are merged when there are as many as manySegments.
	smallSegment = 1 << 16
	manySegments = 8
)

// reindex supersedes the segments that name packs which are gone, and small ones if
// there are many. It returns the segments that can be removed.
func (c *collection) reindex(ctx context.Context, gone func(pack [32]byte) bool) (old []index.SegmentName, err error) {
	return repo.ListedAnew(func() ([]index.SegmentName, error) { return c.supersede(ctx, gone) })
}

func (c *collection) supersede(ctx context.Context, gone func(pack [32]byte) bool) (old []index.SegmentName, err error) {
	current, old, err := c.repo.CurrentSegments(ctx)
	if err != nil {
		return nil, err
	}
	little, replaced := map[index.SegmentName]*index.Segment{}, map[index.SegmentName]*index.Segment{}
	for name, s := range current {
		switch {
		case slices.ContainsFunc(s.Packs(), func(p index.Pack) bool { return gone(p.Name) }):
			replaced[name] = s
		case s.Len() < smallSegment:
			little[name] = s
		}
	}
	if len(little) >= manySegments || len(replaced) > 0 && len(little) > 1 {
		maps.Copy(replaced, little)
	}
	if len(replaced) == 0 {
		return old, nil
	}
	c.Progress("indexing", 0)
	if _, err := c.repo.Supersede(ctx, replaced, old, gone); err != nil {
		return nil, err
	}
	return slices.AppendSeq(old, maps.Keys(replaced)), nil
}

func sortedPacks(packs map[[32]byte]bool) [][32]byte {
	return slices.SortedFunc(maps.Keys(packs), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
}
