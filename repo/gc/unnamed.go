package gc

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"holdfast/internal/seal"
	"holdfast/repo/pack"
)

// Packs that no segment names are unfinished work; or somebody has put back what was
// lost, and a repair, which has made the index without it, takes it up again.

// eachUnnamed reads the directories of those that do not belong to an open session; of
// the condemned ones only where something is missed. A damaged one is for check to tell of.
func (c *collection) eachUnnamed(ctx context.Context, s *survey, t *tracing, do func(name [32]byte, placed []pack.Placed) error) error {
	named := map[[32]byte]bool{}
	for _, p := range s.catalog.Packs {
		named[p.Name] = true
	}
	condemned := c.list.Packs()
	for name, size := range s.stored {
		if named[name] || condemned[name] && t.missed.None() {
			continue
		}
		info, placed, err := c.repo.PackDirectory(ctx, name, size)
		switch {
		case errors.Is(err, seal.ErrDamaged) || errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil && !s.open[info.Session]:
			err = do(name, placed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepForUnnamed keeps what such packs need to be of use, if what is missed lies there:
// the index does not tell of it. Bases that are missed too lie perhaps in another one.
func (c *collection) keepForUnnamed(ctx context.Context, s *survey, t *tracing) error {
	for known := 0; t.missed.Len() > known; {
		known = t.missed.Len()
		err := c.eachUnnamed(ctx, s, t, func(_ [32]byte, placed []pack.Placed) error {
			for i, p := range placed {
				if !t.missed.Any(placed[i : i+1]) {
					continue
				}
				if err := t.keepBases(p.Bases, p.Depth); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unfinished returns the packs that no segment names and that may go. Where one of
// them holds what a root misses all stay, those that are condemned too: what it holds
// may have its bases in another one.
func (c *collection) unfinished(ctx context.Context, s *survey, t *tracing) (packs []candidate, err error) {
	condemned, holding := c.list.Packs(), false
	c.report.Unnamed, s.staying = Amount{}, map[[32]byte]bool{}
	err = c.eachUnnamed(ctx, s, t, func(name [32]byte, placed []pack.Placed) error {
		holding = holding || t.missed.Any(placed)
		packs = append(packs, candidate{name: name, size: uint64(s.stored[name])})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !holding {
		return slices.DeleteFunc(packs, func(p candidate) bool { return condemned[p.name] }), nil
	}
	for _, p := range packs {
		s.staying[p.name] = true
		c.report.Unnamed.add(p.size)
	}
	return nil, nil
}
