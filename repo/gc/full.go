package gc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"holdfast/internal/storage"
	"holdfast/repo"
)

// A storage that is full is collected in small steps. Room is what the reserve took,
// and what each step has freed; so much may be copied out in the next one.

// noRoom begins that.
func (c *collection) noRoom(ctx context.Context, full error) error {
	c.full, c.report.Copied = full, 0
	room, err := c.repo.SpendReserve(ctx)
	c.room += room
	return err
}

// decideInLittleRoom is decide where the storage is full. Of the packs of groups that
// are due, those that nobody needs anything of become swept, and those for which
// there is room to copy what is needed; the others wait for the next step, as if they
// were not due yet. It reports whether there is one to be done at once.
func (c *collection) decideInLittleRoom(ctx context.Context, s *survey, t *tracing, chosen *selection) (again bool, err error) {
	needed, err := s.bytesOf(t.kept)
	if err != nil {
		return false, err
	}
	due := packsOf(c.list, c.due(s))
	fitting := packsThatFit(due, needed, c.room)
	err = c.evacuate(ctx, s, t, fitting, t.kept)
	if errors.Is(err, storage.ErrFull) {
		c.room, fitting = 0, nil // somebody else has taken it
	} else if err != nil {
		return false, err
	}
	for p := range fitting {
		c.room -= min(c.room, needed[p])
		delete(needed, p)
	}
	next := c.next()
	if c.sweepUnneeded(s, needed, next) {
		return true, c.publish(ctx, next) // what was chosen is for the next list, of which it becomes the one new group
	}
	if chosen.empty() {
		return false, nil
	}
	return c.Grace == 0, c.condemn(ctx, next, chosen)
}

// packsThatFit returns those packs of which something is needed that can be copied
// into so much room, together with what the index says of the copies; and one of them
// in any case: there may be more room than is known.
func packsThatFit(packs map[[32]byte]bool, needed map[[32]byte]uint64, room uint64) map[[32]byte]bool {
	names := slices.SortedFunc(maps.Keys(packs), func(a, b [32]byte) int {
		return cmp.Or(cmp.Compare(needed[a], needed[b]), bytes.Compare(a[:], b[:]))
	})
	fitting, sum := map[[32]byte]bool{}, uint64(0)
	for _, p := range names {
		if needed[p] == 0 {
			continue
		}
		if sum += needed[p]; len(fitting) > 0 && sum > room-room/4 {
			break
		}
		fitting[p] = true
	}
	return fitting
}

// sweepUnneeded makes groups of next swept as far as nothing is needed of their
// packs, and reports whether it found any. What it takes out of groups becomes a
// group of its own.
func (c *collection) sweepUnneeded(s *survey, needed map[[32]byte]uint64, next *repo.Condemned) (swept bool) {
	due := c.due(s)
	out := repo.Group{Number: next.Number, At: next.At, State: repo.GroupSwept}
	for i := range next.Groups {
		g := &next.Groups[i]
		if !due[g.Number] {
			continue
		}
		isNeeded := func(p [32]byte) bool { return needed[p] > 0 }
		if !slices.ContainsFunc(g.Packs, isNeeded) {
			g.State, swept = repo.GroupSwept, true
			continue
		}
		var rest [][32]byte
		for _, p := range g.Packs {
			if isNeeded(p) {
				rest = append(rest, p)
				continue
			}
			out.Packs = append(out.Packs, p)
			out.Bytes += uint64(s.stored[p])
			g.Bytes -= min(g.Bytes, uint64(s.stored[p]))
		}
		g.Packs = rest
	}
	if len(out.Packs) > 0 {
		slices.SortFunc(out.Packs, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
		next.Groups, swept = append(next.Groups, out), true
	}
	return swept
}
