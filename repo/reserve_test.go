package repo_test

import (
	"context"
	"testing"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
)

// TestMarksWithoutRoom: on a full disk a snapshot can be deleted, and kept from what
// "repo gc --grace 0", which makes room, would do to it.
func TestMarksWithoutRoom(t *testing.T) {
	m := twoDays(t)
	r := mustOpen(t, m.store)
	for _, action := range []repo.Action{repo.Delete, repo.Undelete, repo.Pin, repo.Unpin} {
		if err := r.Replenish(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		faulty := storagetest.NewFaulty(m.store)
		full := mustOpen(t, faulty)
		room := m.store.Size()
		faulty.Inject(storagetest.Fault{Ops: storagetest.Put, Effect: func(_ context.Context, c *storagetest.Call, do func() error) error {
			if m.store.Size()+int64(len(c.Data)) > room {
				return storage.ErrFull
			}
			return do()
		}})
		if changed, err := full.Mark(t.Context(), m.snapshots[0].Name, action, start); err != nil || !changed {
			t.Errorf("%s: %v", action, err)
		}
	}
}
