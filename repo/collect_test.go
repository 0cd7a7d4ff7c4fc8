package repo_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast/index"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// TestMoreSegmentsThanOneCanSupersede: a collection and rebuild-index make few segments
// of any number; and where they are killed on the way nothing is missing, and the next one
// does it.
func TestMoreSegmentsThanOneCanSupersede(t *testing.T) {
	const most = 3
	store, files := repotest.New(t), repotest.Files{}
	var last *repo.Snapshot
	for day := range 4 * most {
		files[fmt.Sprint(day)] = repotest.Random(uint64(day), 1000)
		last = repotest.Put(t, repotest.Open(t, store), files, last)
	}
	opened := func(s storage.Storage) *repo.Repository {
		r := repotest.Open(t, s)
		r.SupersedeAtMost(most)
		return r
	}
	for name, join := range map[string]func(storage.Storage) error{
		"collection": func(s storage.Storage) error {
			_, err := gc.Run(t.Context(), opened(s), gc.Options{Now: time.Now})
			return err
		},
		"rebuild-index": func(s storage.Storage) error {
			_, err := opened(s).RebuildIndex(t.Context(), time.Now, func(int, int) {})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := storagetest.NewRecorder(t, store.Clone())
			if err := join(recorder); err != nil {
				t.Fatal(err)
			}
			for n, killed := range recorder.Prefixes() {
				repotest.MustHold(t, repotest.Open(t, killed), last, files)
				if err := join(killed); err != nil {
					t.Fatal(err)
				}
				r := repotest.Open(t, killed)
				repotest.MustHold(t, r, last, files)
				repotest.MustBeWhole(t, r)
				current, superseded, err := r.CurrentSegments(t.Context())
				if err != nil || len(current) > 2*most || len(superseded) > 0 || t.Failed() {
					t.Fatalf("killed after %d changes: %d segments are left, and %d that others have superseded, %v", n, len(current), len(superseded), err)
				}
				for name, s := range current {
					if named := len(s.Superseded()); named > most {
						t.Fatalf("killed after %d changes: %s supersedes %d", n, index.ObjectName(name), named)
					}
				}
			}
		})
	}
}
