package gc

import (
	"bytes"
	"context"
	"slices"

	"holdfast/repo"
	"holdfast/repo/trace"
)

// decideWithoutCopies is decide where the storage is full. Of the groups that are
// due, what nobody needs anything of becomes swept; the rest of them waits for a
// collection that has room, as if it were not due yet. It reports whether more can
// be done at once.
func (c *collection) decideWithoutCopies(ctx context.Context, s *survey, t *tracing, chosen *selection) (again bool, err error) {
	next := c.next()
	swept, err := c.sweepUnneeded(s, t.kept, next)
	switch {
	case err != nil:
		return false, err
	case swept: // what was chosen is for the next list, of which it becomes the one new group
		return true, c.publish(ctx, next)
	case chosen.empty():
		return false, nil
	}
	return true, c.condemn(ctx, next, chosen)
}

// sweepUnneeded makes groups of next swept as far as none of the kept copies lies
// in them, and reports whether it found any. What it takes out of groups becomes a
// group of its own.
func (c *collection) sweepUnneeded(s *survey, kept trace.Bits, next *repo.Condemned) (swept bool, err error) {
	needed, err := s.packsWith(kept)
	if err != nil {
		return false, err
	}
	due := c.due(s.settled)
	out := repo.Group{Number: next.Number, At: next.At, State: repo.GroupSwept}
	for i := range next.Groups {
		g := &next.Groups[i]
		if !due[g.Number] {
			continue
		}
		isNeeded := func(p [32]byte) bool { return needed[p] }
		if !slices.ContainsFunc(g.Packs, isNeeded) {
			g.State, swept = repo.GroupSwept, true
			continue
		}
		var rest [][32]byte
		for _, p := range g.Packs {
			if needed[p] {
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
	return swept, nil
}
