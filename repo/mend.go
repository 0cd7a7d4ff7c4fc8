package repo

import (
	"context"
	"errors"
	"io/fs"

	"holdfast/internal/storage"
	"holdfast/repo/parity"
)

// ResumeMending finishes what a killed repair has begun.
func (r *Repository) ResumeMending(ctx context.Context) error {
	return parity.Resume(ctx, r.store.Storage, func(name string, data []byte) bool {
		if r.verifyObject(ctx, name, data) != nil {
			return false
		}
		there, err := storage.ReadAll(ctx, r.store, name, int64(len(data)))
		return err != nil || r.verifyObject(ctx, name, there) != nil
	})
}

// ExamineParity is parity.Group.Examine.
func (r *Repository) ExamineParity(ctx context.Context, g parity.Stored, tell func(parity.Damaged) error) (parity.Found, error) {
	return g.Examine(ctx, r.store.Storage, g.Object, tell)
}

// BadParity reads a group's parity, and returns how many blocks of it are damaged.
func (r *Repository) BadParity(ctx context.Context, g parity.Stored) (int, error) {
	return g.BadParity(ctx, r.store.Storage, g.Object)
}

// HasWhole reports whether all members are there, as long as they were.
func (r *Repository) HasWhole(ctx context.Context, members []parity.Member) (bool, error) {
	for _, m := range members {
		info, err := r.store.Stat(ctx, m.Name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size != m.Size {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// HasSlot reports whether a key slot is as a group of parity has it.
func (r *Repository) HasSlot(ctx context.Context, m parity.Member) (bool, error) {
	data, err := readSlot(ctx, r.store, m.Name)
	if errors.Is(err, fs.ErrNotExist) || isDamage(err) {
		return false, nil
	}
	return m.Is(data), err
}

// Mend puts what parity has computed in place of a damaged member of a group. It
// is false where that is not what the repository needs: the group was removed
// meanwhile, because its member was, or the bytes are none of this repository's.
func (r *Repository) Mend(ctx context.Context, group string, d parity.Damaged) (bool, error) {
	if err := r.verifyObject(ctx, d.Name, d.Data); err != nil {
		return false, nil
	}
	_, err := r.store.Stat(ctx, group)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, parity.Replace(ctx, r.store.Storage, d.Name, d.Data)
}

// DropParity removes a group.
func (r *Repository) DropParity(ctx context.Context, group string) error {
	return r.store.Storage.Delete(ctx, group)
}
