package repo

import (
	"context"
	"slices"

	"holdfast/index"
	"holdfast/repo/pack"
)

// LostPack is a pack that the index names and that is not in the storage as it
// must be.
type LostPack struct {
	index.Pack
	Found int64 // bytes that are stored under its name; -1: nothing is
}

// Object returns the pack's name in the storage.
func (p LostPack) Object() string { return pack.ObjectName(p.Name) }

// LostPacks compares the index with a listing of the packs: what has vanished,
// and what is longer or shorter than it was. It reads no pack. What a collection
// has condemned may be gone.
func (r *Repository) LostPacks(ctx context.Context) ([]LostPack, error) {
	condemned, err := r.Condemned(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	c, err := r.comparePacks(ctx, condemned.Packs())
	return c.lost, err
}

// comparison is of what the index names with what is stored, but for the condemned
// packs.
type comparison struct {
	lost    []LostPack // not as they must be
	good    [][32]byte // all others that are named and stored, sorted
	unnamed [][32]byte // in no order
	stored  map[[32]byte]int64
}

// comparePacks lists no packs where the index names none.
func (r *Repository) comparePacks(ctx context.Context, condemned map[[32]byte]bool) (c comparison, err error) {
	indexed, err := r.IndexedPacks(ctx)
	if err != nil || len(indexed) == 0 {
		return c, err
	}
	if c.stored, err = r.StoredPacks(ctx); err != nil {
		return c, err
	}
	for name, p := range indexed {
		size, ok := c.stored[name]
		switch {
		case condemned[name]:
		case !ok:
			c.lost = append(c.lost, LostPack{p, -1})
		case size != int64(p.Size):
			c.lost = append(c.lost, LostPack{p, size})
		default:
			c.good = append(c.good, name)
		}
	}
	for name := range c.stored {
		if _, named := indexed[name]; !named && !condemned[name] {
			c.unnamed = append(c.unnamed, name)
		}
	}
	slices.SortFunc(c.good, comparePacks)
	return c, nil
}
