package repair

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"holdfast/internal/storage"
	"holdfast/repo/parity"
)

// maxLooks bounds the groups that Amiss looks at: it is for a message that somebody
// waits for. Config and key slots are in small ones.
const maxLooks = 64

// Amiss is what of config and the key slots is not as parity has it, which needs no
// key to be seen: what a password that opens nothing may be the fault of.
func Amiss(ctx context.Context, store storage.Storage) (all []Mended, err error) {
	var groups []storage.Info
	for info, err := range store.List(ctx, parity.Folder) {
		if err != nil {
			return nil, err
		}
		groups = append(groups, info)
	}
	slices.SortFunc(groups, func(a, b storage.Info) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), strings.Compare(a.Name, b.Name))
	})
	for _, info := range groups[:min(len(groups), maxLooks)] {
		g, err := parity.Read(storage.At(ctx, store, info.Name), info.Size)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, parity.ErrDamaged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, m := range g.Members {
			if !isWayIn(m.Name) {
				continue
			}
			data, err := storage.ReadAll(ctx, store, m.Name, maxWayIn)
			gone := errors.Is(err, fs.ErrNotExist)
			if err != nil && !gone && !errors.Is(err, storage.ErrUnreadable) && !errors.Is(err, storage.ErrTooLong) {
				return nil, err
			}
			if there, err := stillThere(ctx, store, info.Name); err != nil || !there {
				return all, err // it was removed on purpose meanwhile
			}
			if gone || !m.Is(data) {
				all = append(all, Mended{Object: m.Name, Gone: gone})
			}
		}
	}
	return all, nil
}
