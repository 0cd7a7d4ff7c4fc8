package gc_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"holdfast/repo"
	"holdfast/repo/repotest"
)

// TestALocalCopyOutlivesACollection: a host whose local copy of the index is older
// than a collection goes on with it, finds what was moved, and does not rely on what
// is gone.
func TestALocalCopyOutlivesACollection(t *testing.T) {
	w, cache := &world{store: repotest.New(t), now: repotest.Start}, t.TempDir()
	open := func() *repo.Repository {
		r, err := repo.Open(t.Context(), w.store, repotest.Secret, repo.Options{Random: rand.Reader, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var parent *repo.Snapshot
	for day := range 70 { // more segments than a copy is done without
		files := repotest.Files{"own": repotest.Random(uint64(day), 2000), "two days'": repotest.Random(uint64(1000+day/2), 2000)}
		parent = repotest.Put(t, repotest.Open(t, w.store), files, parent)
		w.snapshots, w.contents = append(w.snapshots, parent), append(w.contents, files)
	}
	r := open()
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cache, r.ID(), "index", "index.bolt")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatalf("there is no copy to outlive anything: %v", err)
	}

	var gone []int
	for day := 0; day < 60; day += 3 {
		gone = append(gone, day)
	}
	w.delete(t, w.store, gone...)
	if report := collect(t, w.store, w.options(0)); report.Freed.Packs == 0 || report.Copied == 0 {
		t.Fatalf("nothing was moved: %+v", report)
	}
	// One that was open all the while, and one that begins now.
	for when, r := range map[string]*repo.Repository{"open before": r, "opened after": open()} {
		for day, s := range w.snapshots {
			if day%3 > 0 || day >= 60 {
				repotest.MustHold(t, r, s, w.contents[day])
			}
		}
		writer, err := repotest.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if writer.LostPacks() {
			t.Errorf("%s: packs that were collected count as lost", when)
		}
		files := repotest.Files{"gone and new": w.contents[0]["own"], "there": w.contents[1]["own"], "more": []byte(when)}
		s, err := writer.Write(t.Context(), files, w.snapshots[69])
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Commit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := writer.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		repotest.MustHold(t, repotest.Open(t, w.store), s, files)
		repotest.MustBeWhole(t, r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Error("the copy was made anew", err)
	}
	repotest.MustBeWhole(t, repotest.Open(t, w.store))
	collect(t, w.store, w.options(0))
	repotest.MustBeWhole(t, open())
}
