package repo_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/storage/storagetest"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/pack"
	"holdfast/repo/repotest"
)

// chainOf finds what a reader reads for a blob: its deltas, with their sealed
// bytes, and the blob at their end that is whole.
func chainOf(t *testing.T, r *repo.Repository, id blob.ID, deltas map[blob.ID]uint32) (whole index.Entry) {
	copies, err := r.Copies(id)
	if err != nil || len(copies) == 0 {
		t.Fatalf("%s: %v, %d copies", id.Short(), err, len(copies))
	}
	if copies[0].Depth == 0 {
		return copies[0]
	}
	deltas[id] = copies[0].Sealed
	for _, base := range copies[0].Bases {
		whole = chainOf(t, r, base, deltas)
	}
	return whole
}

// What a reader reads for a blob is bounded in deltas and in bytes, however long
// the blob is edited, and by little or much.
func TestABlobBecomesWholeAgain(t *testing.T) {
	for _, c := range []struct {
		name        string
		rows        int // that change each day, of 250, which are one chunk
		days        int
		least, most int // deltas in the longest chain
	}{{"little", 1, 80, 64, 64}, {"much", 25, 30, 2, 12}} {
		t.Run(c.name, func(t *testing.T) {
			r := newPlace(t).open()
			rows := bytes.SplitAfter(repotest.Dump(3, 250), []byte("\n"))
			want := repotest.Files{"db": bytes.Join(rows, nil)}
			s := repotest.Put(t, r, want, nil)
			longest := 0
			for day := range c.days {
				for i := range c.rows {
					rows[(day*c.rows+i)*7%250] = fmt.Appendf(nil, "INSERT INTO t VALUES ('%x');\n", repotest.Random(uint64(day*c.rows+i), 12))
				}
				want["db"] = bytes.Join(rows, nil)
				s = repotest.Put(t, r, want, s)
				e := entry(t, r, s, "db")
				for _, ref := range e.Content.Refs {
					deltas := map[blob.ID]uint32{}
					whole := chainOf(t, r, ref.ID, deltas)
					sum := 0
					for _, n := range deltas {
						sum += int(n)
					}
					if would := int(ref.Size) * int(whole.Sealed) / int(whole.Length); sum > would+would/50 {
						t.Errorf("day %d: %d bytes of deltas, where the whole would have %d", day, sum, would)
					}
					longest = max(longest, len(deltas))
				}
			}
			if longest < c.least || longest > c.most {
				t.Errorf("the longest chain has %d deltas, want %d to %d", longest, c.least, c.most)
			}
			repotest.MustHold(t, r, s, want)
			repotest.MustBeWhole(t, r)
		})
	}
}

func entry(t *testing.T, r *repo.Repository, s *repo.Snapshot, name string) (found tree.Entry) {
	t.Helper()
	for e, err := range r.Children(t.Context(), s.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == name {
			found = e
		}
	}
	return found
}

// A small file that grows is stored as what was added, and so is the listing in
// which one entry changed.
func TestSmallFilesAndListingsAreDeltasToo(t *testing.T) {
	r := newPlace(t).open()
	day := repotest.Files{}
	for i := range 400 {
		day[fmt.Sprintf("file %03d", i)] = repotest.Dump(uint64(i), 40)
	}
	first := repotest.Put(t, r, day, nil)
	before := totals(t, r)
	day["file 200"] = append(day["file 200"], "one more line\n"...)
	second := repotest.Put(t, r, day, first)
	if grown := totals(t, r).Deltas - before.Deltas; grown != 3 {
		t.Errorf("%d deltas, want those of the file and, twice, of the listing", grown)
	}
	if entry(t, r, first, "file 200").Content.Equal(entry(t, r, second, "file 200").Content) {
		t.Error("the file is as before")
	}
	repotest.MustHold(t, r, second, day)
	repotest.MustBeWhole(t, r)
}

// A chain with a damaged delta in its middle is never taken for the blob.
func TestADamagedDeltaInAChainIsNamed(t *testing.T) {
	store := storagetest.NewMemory()
	if _, err := repo.Init(t.Context(), store, secret, repo.Slot{Cost: cheap, Now: start}, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	want := repotest.Files{"db": repotest.Dump(3, 250)}
	s := repotest.Put(t, mustOpen(t, store), want, nil)
	for day := range 5 {
		want["db"] = append(want["db"], fmt.Sprintf("INSERT INTO t VALUES (%d);\n", day)...)
		s = repotest.Put(t, mustOpen(t, store), want, s)
	}
	r := mustOpen(t, store)
	ref := entry(t, r, s, "db").Content.Refs[0]
	copies, err := r.Copies(ref.ID)
	for err == nil && copies[0].Depth > 3 {
		copies, err = r.Copies(copies[0].Bases[0])
	}
	if err != nil || copies[0].Depth != 3 {
		t.Fatalf("no delta in the middle of a chain: %v", err)
	}
	object := pack.ObjectName(copies[0].Pack.Name)
	broken := store.Clone()
	data, _ := broken.Object(object)
	data[copies[0].Offset+4] ^= 1
	broken.Replace(object, data)
	_, err = io.ReadAll(mustOpen(t, broken).Open(t.Context(), entry(t, r, s, "db")))
	var damaged *repo.DamagedError
	if !errors.As(err, &damaged) || damaged.Object != object {
		t.Errorf("%v, want that %s is damaged", err, object)
	}
}
