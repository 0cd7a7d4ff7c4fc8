package repo

import (
	"context"

	"holdfast/index"
	"holdfast/internal/blob"
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
// and what is longer or shorter than it was. It reads no pack.
func (r *Repository) LostPacks(ctx context.Context) ([]LostPack, error) {
	indexed, err := r.IndexedPacks(ctx)
	if err != nil || len(indexed) == 0 {
		return nil, err
	}
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return nil, err
	}
	var lost []LostPack
	for name, p := range indexed {
		size, ok := stored[name]
		switch {
		case !ok:
			lost = append(lost, LostPack{p, -1})
		case size != int64(p.Size):
			lost = append(lost, LostPack{p, size})
		}
	}
	return lost, nil
}

// reliance is what a writer may rely on: the copies of blobs that the index
// knows, but for those in packs to be avoided.
type reliance struct {
	repo  *Repository
	avoid map[[32]byte]bool // by name of the pack; nil where there are none
}

// copies returns those that new blobs may be made from, lowest depth first.
func (a reliance) copies(id blob.ID) ([]index.Entry, error) {
	all, err := a.repo.Copies(id)
	if len(a.avoid) == 0 || err != nil {
		return all, err
	}
	var kept []index.Entry
	for _, c := range all {
		if !a.avoid[c.Pack.Name] {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// has reports whether the blob need not be stored: a copy of it, and of all that
// it takes to read that one, is in packs to be relied on.
func (a reliance) has(id blob.ID) (bool, error) {
	if len(a.avoid) == 0 {
		return a.repo.has(id)
	}
	return a.hasBelow(id, anyDepth)
}

func (a reliance) hasBelow(id blob.ID, bound int) (bool, error) {
	copies, err := a.copies(id)
	if err != nil {
		return false, err
	}
	for _, c := range copies {
		if int(c.Depth) >= bound {
			continue
		}
		grounded := true
		for _, base := range c.Bases {
			if grounded, err = a.hasBelow(base, int(c.Depth)); err != nil || !grounded {
				break
			}
		}
		if grounded || err != nil {
			return grounded, err
		}
	}
	return false, nil
}
