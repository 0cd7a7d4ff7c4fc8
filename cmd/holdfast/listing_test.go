package main

import (
	"io/fs"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo/repotest"
)

// TestSnapshotsThatCannotBeLookedFor are not none, as where the repository is somebody
// else's.
func TestSnapshotsThatCannotBeLookedFor(t *testing.T) {
	for _, folder := range []string{"snapshots", "pins", "trash", "condemned", "damaged"} {
		store := storagetest.NewFaulty(repotest.New(t))
		r := repotest.Open(t, store)
		repotest.Put(t, r, repotest.Files{"a": []byte("there")}, nil)
		store.Inject(storagetest.Fault{Ops: storagetest.List, Names: storagetest.Is(folder), Effect: storagetest.Fail(fs.ErrPermission)})
		if all, unread, _, err := readable(t.Context(), &opened{Repository: r}); err == nil {
			t.Errorf("%s: %d snapshots, %v", folder, len(all), unread)
		}
	}
}
