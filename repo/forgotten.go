package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

// ErrNoIndex: there are snapshots, and no index segment at all.
var ErrNoIndex = fmt.Errorf("%w, all of it: nothing is found of what the snapshots need, though the packs may be there", &MissingError{"the index"})

// HasNoIndex reports whether there are snapshots and no index segment at all.
// Segments are listed after snapshots, before which they were made.
func (r *Repository) HasNoIndex(ctx context.Context) (bool, error) {
	if indexed, err := r.IndexedPacks(ctx); err != nil || len(indexed) > 0 {
		return false, err
	}
	all, err := r.Snapshots(ctx)
	if err != nil && slices.ContainsFunc(split(err), func(e error) bool { return !isDamage(e) }) {
		return false, err // the damaged ones are told of elsewhere
	}
	if !slices.ContainsFunc(all, func(s Listed) bool { return len(s.Whole.Content.Refs) > 0 }) {
		return false, nil
	}
	names, err := r.segmentNames(ctx)
	return len(names) == 0, err
}

// Forgotten returns the packs of committed snapshots among these, which no segment
// names, though a snapshot is committed only after the segments that name its packs:
// so segments are missing. stored has the packs' sizes.
func (r *Repository) Forgotten(ctx context.Context, stored map[[32]byte]int64, unindexed [][32]byte) ([][32]byte, error) {
	var committed [][32]byte
	known := map[Name]bool{}
	for _, name := range unindexed {
		object := pack.ObjectName(name)
		info, _, err := pack.ReadDirectory(r.keys, object, stored[name], storage.At(ctx, r.store, object))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			continue // torn, or gone by now
		}
		session := Name(info.Session)
		if _, asked := known[session]; !asked {
			_, err := r.committed(ctx, session)
			if err != nil && !errors.Is(err, ErrNoSnapshot) && !isDamage(err) {
				return nil, err
			}
			known[session] = !errors.Is(err, ErrNoSnapshot)
		}
		if known[session] {
			committed = append(committed, name)
		}
	}
	if len(committed) == 0 {
		return nil, nil
	}
	return r.stillForgotten(ctx, committed)
}

// stillForgotten leaves out what a writer has indexed and a collection removed since
// the packs were listed. A pack is in the list of condemned ones until it is gone.
func (r *Repository) stillForgotten(ctx context.Context, packs [][32]byte) ([][32]byte, error) {
	packs, err := r.stillUnnamed(ctx, packs)
	if err != nil {
		return nil, err
	}
	list, err := r.Condemned(ctx)
	if isDamage(err) {
		return nil, nil // nobody can tell; it is told of elsewhere
	}
	if err != nil {
		return nil, err
	}
	condemned := list.Packs()
	return r.stillThere(ctx, slices.DeleteFunc(packs, func(name [32]byte) bool { return condemned[name] }))
}

// stillUnnamed leaves out what the index names by now.
func (r *Repository) stillUnnamed(ctx context.Context, packs [][32]byte) ([][32]byte, error) {
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	indexed, err := r.IndexedPacks(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(packs, func(name [32]byte) bool {
		_, named := indexed[name]
		return named
	}), nil
}

// stillThere leaves out what is gone by now.
func (r *Repository) stillThere(ctx context.Context, packs [][32]byte) (there [][32]byte, err error) {
	for _, name := range packs {
		is, err := r.HasPack(ctx, name)
		if err != nil {
			return nil, err
		}
		if is {
			there = append(there, name)
		}
	}
	return there, nil
}

func isDamage(err error) bool {
	_, damaged := errors.AsType[*DamagedError](err)
	return damaged
}
