package repo_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/repo/repotest"
)

// flickering is a storage whose listings show what is new only the n-th time that
// they are asked for the index, and packs never.
type flickering struct {
	storage.Storage
	old   map[string]bool
	shown int
	asked int
}

func (f *flickering) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	all := prefix != "index" && prefix != "packs"
	if prefix == "index" {
		f.asked++
		all = f.asked == f.shown
	}
	return func(yield func(storage.Info, error) bool) {
		for info, err := range f.Storage.List(ctx, prefix) {
			if (all || err != nil || f.old[info.Name]) && !yield(info, err) {
				return
			}
		}
	}
}

// TestARebuildSupersedesNothingUnread: a segment that one listing shows and the next
// does not, as listings may that are stale, loses no pack.
func TestARebuildSupersedesNothingUnread(t *testing.T) {
	for shown := 1; shown <= 4; shown++ {
		store := repotest.New(t)
		first := repotest.Files{"a": repotest.Random(1, 50_000)}
		second := repotest.Files{"a": first["a"], "b": repotest.Random(2, 50_000)}
		one := repotest.Put(t, mustOpen(t, store), first, nil)
		f := &flickering{Storage: store, old: map[string]bool{}, shown: shown}
		for _, name := range store.Names() {
			f.old[name] = true
		}
		two := repotest.Put(t, mustOpen(t, store), second, one)
		if _, err := mustOpen(t, f).RebuildIndex(t.Context(), time.Now, func(int, int) {}); err != nil {
			t.Fatal(err)
		}
		r := mustOpen(t, store)
		repotest.MustHold(t, r, one, first)
		repotest.MustHold(t, r, two, second)
		repotest.MustBeWhole(t, r)
	}
}
