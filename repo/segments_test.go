package repo_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// An index that is too large for memory finds the same: what is there is not
// stored again, and everything comes back.
func TestAnIndexBeyondMemoryFindsTheSame(t *testing.T) {
	days := []repotest.Files{
		{"rows.sql": repotest.Dump(1, 20_000), "noise": repotest.Random(2, 3<<20), "small": repotest.Random(3, 100)},
		{"rows.sql": repotest.Dump(1, 20_000), "noise": repotest.Random(2, 3<<20), "small": repotest.Random(4, 100)},
	}
	p := newPlace(t)
	beyond := p.open()
	beyond.KeepSegmentsOnDisk()
	first := repotest.Put(t, beyond, days[0], nil)
	stored := totals(t, beyond).Blobs
	repotest.Put(t, beyond, days[0], first)
	if again := totals(t, beyond).Blobs; again != stored {
		t.Errorf("the same again stores %d blobs", again-stored)
	}

	beyond = p.open()
	beyond.KeepSegmentsOnDisk()
	second := repotest.Put(t, beyond, days[1], first)
	if more := totals(t, beyond).Blobs - stored; more != 3 {
		t.Errorf("a changed small file stores %d blobs, want it and, twice, the listing", more)
	}
	repotest.MustHold(t, beyond, first, days[0])
	repotest.MustHold(t, p.open(), second, days[1])
	repotest.MustBeWhole(t, beyond)
}

// Segments that are read where they lie may be joined to others and removed while they
// are in use: what took their place is read.
func TestSegmentsThatAreJoinedWhileTheyAreInUse(t *testing.T) {
	store := repotest.New(t)
	files := repotest.Files{}
	for i := range 5000 { // more than a frame of entries, the last of which is kept
		files[fmt.Sprint(i)] = fmt.Appendf(nil, "file %d", i)
	}
	first := repotest.Put(t, repotest.Open(t, store), files, nil)
	r := repotest.Open(t, store)
	r.KeepSegmentsOnDisk()
	for range 3 {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done, err := repotest.Open(t, store).RebuildIndex(t.Context(), time.Now, func(int, int) {}); err != nil || done.Replaced == 0 {
			t.Fatalf("%d segments were replaced: %v", done.Replaced, err)
		}
		repotest.MustHold(t, r, first, files)
	}
	if packs, err := r.IndexedPacks(t.Context()); err != nil || len(packs) == 0 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
}

// TestSegmentsThatAreJoinedWhileTheyAreRead through, between any two reads: they are
// listed again, and all is found.
func TestSegmentsThatAreJoinedWhileTheyAreRead(t *testing.T) {
	base := repotest.New(t)
	for i := range 3 {
		repotest.Put(t, repotest.Open(t, base), repotest.Files{"file": fmt.Appendf(nil, "file %d", i)}, nil)
	}
	want := totals(t, repotest.Open(t, base)).Blobs
	for name, read := range map[string]func(*repo.Repository) (uint64, error){
		"totals": func(r *repo.Repository) (uint64, error) {
			sum, err := r.Totals(t.Context())
			return sum.Blobs, err
		},
		"catalog": func(r *repo.Repository) (uint64, error) {
			c, err := r.Catalog(t.Context())
			if err != nil {
				return 0, err
			}
			return c.Len(), c.Close()
		},
	} {
		for nth := 1; ; nth++ {
			store := base.Clone()
			faulty := storagetest.NewFaulty(store)
			r := repotest.Open(t, faulty)
			r.KeepSegmentsOnDisk()
			rule := faulty.Inject(storagetest.Fault{Ops: storagetest.ReadAt, Names: storagetest.Under("index"), Nth: nth,
				Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
					if _, err := repotest.Open(t, store).RebuildIndex(context.Background(), time.Now, func(int, int) {}); err != nil {
						t.Error(err)
					}
					return do()
				}})
			got, err := read(r)
			if err != nil || got != want {
				t.Errorf("%s, joined at read %d: %d blobs, want %d: %v", name, nth, got, want, err)
			}
			if rule.Hits() == 0 {
				if nth < 6 {
					t.Errorf("%s: %d reads only", name, nth-1)
				}
				break
			}
		}
	}
}

// TestManySegmentsTakeLittleMemory: of segments that nobody has joined yet as many are
// kept as there is room for, and of the others their tables.
func TestManySegmentsTakeLittleMemory(t *testing.T) {
	const segments, entries, most = 400, 1000, 8 << 10 // bytes for each; 1,000 entries have 64,000
	store := repotest.New(t)
	r := repotest.Open(t, store)
	for range segments {
		if err := r.PutRandomSegment(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	r = repotest.Open(t, store)
	r.KeepSegmentsOnDisk()
	before := heap()
	all, err := r.OpenAllSegments(t.Context())
	if err != nil || len(all) != segments {
		t.Fatalf("%d segments, %v", len(all), err)
	}
	n := 0
	for _, s := range all {
		for _, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n != segments*entries {
		t.Errorf("%d entries, want %d", n, segments*entries)
	}
	if held := int64(heap() - before); held > segments*most {
		t.Errorf("%d segments take %d bytes each", segments, held/segments)
	}
	runtime.KeepAlive(all)
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // twice: a sync.Pool gives up what it has at the second one
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
