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
	lost, _, err := r.comparePacks(ctx, condemned.Packs())
	return lost, err
}

// comparePacks returns the packs that the index names and that are not as they
// must be, and all others that are stored, sorted; both but for the condemned ones.
func (r *Repository) comparePacks(ctx context.Context, condemned map[[32]byte]bool) (lost []LostPack, good [][32]byte, err error) {
	indexed, err := r.IndexedPacks(ctx)
	if err != nil || len(indexed) == 0 {
		return nil, nil, err
	}
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return nil, nil, err
	}
	for name, p := range indexed {
		size, ok := stored[name]
		switch {
		case condemned[name]:
		case !ok:
			lost = append(lost, LostPack{p, -1})
		case size != int64(p.Size):
			lost = append(lost, LostPack{p, size})
		default:
			good = append(good, name)
		}
	}
	slices.SortFunc(good, comparePacks)
	return lost, good, nil
}
