package gc

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"holdfast/repo"
)

const (
	// A pack is wasteful, so that copying what is needed of it pays, if one of so many
	// parts of it is not needed.
	wasteful = 5
	// Packs below small bytes are merged, into packs of merged bytes, when that makes
	// fewer of them by fewer.
	small  = 4 << 20
	merged = 8 << 20
	fewer  = 8
)

// candidate is a pack that may be condemned.
type candidate struct {
	name   [32]byte
	size   uint64 // bytes
	sealed uint64 // of its copies
	needed uint64 // of these
	erase  bool   // nothing of it that is not needed may stay
}

func (c *candidate) waste() float64 {
	if c.sealed == 0 {
		return 1
	}
	return 1 - float64(c.needed)/float64(c.sealed)
}

// gain is what is free, in bytes, when the pack is gone and the rest of it copied.
func (c *candidate) gain() uint64 { return c.size - min(c.size, c.needed) }

// selection is what becomes a new group.
type selection struct {
	packs []candidate
	dead  []repo.Kept
}

func (s *selection) empty() bool { return len(s.packs) == 0 && len(s.dead) == 0 }

func (s *selection) names() map[[32]byte]bool {
	names := map[[32]byte]bool{}
	for i := range s.packs {
		names[s.packs[i].name] = true
	}
	return names
}

// rest is what has to be copied before the packs can go, in bytes.
func (s *selection) rest() (needed uint64) {
	for i := range s.packs {
		needed += s.packs[i].needed
	}
	return needed
}

func (s *selection) group(number uint64, at time.Time) repo.Group {
	g := repo.Group{Number: number, At: at, State: repo.GroupCondemned}
	for i := range s.packs {
		g.Packs = append(g.Packs, s.packs[i].name)
		g.Bytes += s.packs[i].gain()
	}
	for _, d := range s.dead {
		g.Dead = append(g.Dead, d.Name)
	}
	slices.SortFunc(g.Packs, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(g.Dead, func(a, b repo.Name) int { return bytes.Compare(a[:], b[:]) })
	return g
}

// worthCondemning chooses among packs: those that nobody needs anything of; the
// wasteful ones, the worst first, and small ones, if there are many, as long as
// what has to be copied stays below maxRepack (0: any). room bounds their number, and
// small ones are left alone unless merges is set.
func worthCondemning(packs []candidate, maxRepack int64, room int, merges bool) []candidate {
	slices.SortFunc(packs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.waste(), a.waste()), bytes.Compare(a.name[:], b.name[:]))
	})
	var chosen, little []candidate
	budget := uint64(maxRepack)
	take := func(p candidate) {
		if len(chosen) < room && (maxRepack == 0 || p.needed <= budget) {
			chosen = append(chosen, p)
			budget -= p.needed
		}
	}
	for _, p := range packs {
		switch {
		case p.needed == 0 || p.erase && p.needed < p.sealed || (p.sealed-p.needed)*wasteful >= p.sealed:
			take(p)
		case merges && p.size < small:
			little = append(little, p)
		}
	}
	total := uint64(0)
	for _, p := range little {
		total += p.size
	}
	if len(little)-int(total/merged)-1 >= fewer {
		for _, p := range little {
			take(p)
		}
	}
	return chosen
}

// choose decides what is to be condemned.
func (c *collection) choose(ctx context.Context, s *survey, t *tracing) (selection, error) {
	chosen := selection{dead: s.dead}
	condemned := c.list.Packs()
	var packs []candidate
	for i, p := range s.catalog.Packs {
		if size, stored := s.stored[p.Name]; stored && !condemned[p.Name] && !s.open[p.Session] {
			packs = append(packs, candidate{p.Name, uint64(size), t.sealed[i], t.needed[i], c.Erase || c.tainted[p.Name]})
		}
	}
	unnamed, err := c.unfinished(ctx, s, t)
	if err != nil {
		return chosen, err
	}
	packs = append(packs, unnamed...)
	if c.full != nil {
		packs = slices.DeleteFunc(packs, func(p candidate) bool { return p.needed > 0 })
	}
	chosen.packs = worthCondemning(packs, c.MaxRepack, repo.MaxCondemned-len(condemned), !c.merged)
	return chosen, nil
}
