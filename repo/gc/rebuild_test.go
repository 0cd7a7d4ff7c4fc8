package gc_test

import (
	"context"
	"crypto/rand"
	"iter"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// TestRebuiltFromListingsThatDisagree: of a segment that only one of the listings
// shows, and whose packs none does, nothing is lost.
func TestRebuiltFromListingsThatDisagree(t *testing.T) {
	for shown := range 4 {
		state := repotest.New(t)
		files := repotest.Files{"one": repotest.Random(1, 5000)}
		parent := repotest.Put(t, repotest.Open(t, state), files, nil)
		before := state.Clone()
		files = repotest.Files{"two": repotest.Random(2, 5000)}
		young := repotest.Put(t, repotest.Open(t, state), files, parent)
		listings := 0
		stale := bent{Storage: state, list: func(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
			if prefix == "index" {
				if listings++; listings == shown+1 {
					return state.List(ctx, prefix)
				}
			}
			if prefix == "index" && listings <= 4 || prefix == "packs" {
				return before.List(ctx, prefix)
			}
			return state.List(ctx, prefix)
		}}
		r, err := repo.Open(t.Context(), stale, repotest.Secret, repo.Options{Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.RebuildIndex(t.Context(), time.Now, func(int, int) {}); err != nil {
			t.Fatal(err)
		}
		repotest.MustHold(t, repotest.Open(t, state), young, files)
		if t.Failed() {
			t.Fatalf("only listing %d of the index showed it", shown+1)
		}
	}
}
