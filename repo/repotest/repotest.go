// Package repotest makes repositories with small snapshots, for the tests of what
// works on whole repositories, and proves what they hold.
package repotest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/check"
)

// Secret opens the repositories.
var Secret = repo.Secret{Password: []byte("correct horse")}

// Start is when they were made.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Files is what a snapshot holds: a directory of files.
type Files map[string][]byte

// New makes an empty repository in memory.
func New(t testing.TB) *storagetest.Memory {
	t.Helper()
	store := storagetest.NewMemory()
	slot := repo.Slot{Cost: seal.Cost{Memory: 64, Passes: 1, Lanes: 1}, Now: Start}
	if _, err := repo.Init(t.Context(), store, Secret, slot, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	return store
}

// Open opens the repository in a storage, without a local copy of its index.
func Open(t testing.TB, s storage.Storage) *repo.Repository {
	t.Helper()
	r, err := repo.Open(t.Context(), s, Secret, repo.Options{Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// Put takes a snapshot of f, each file with that of the same name in parent, if
// that is not nil, as its base.
func Put(t testing.TB, r *repo.Repository, f Files, parent *repo.Snapshot) *repo.Snapshot {
	t.Helper()
	s, err := TryPut(t.Context(), r, f, parent)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TryPut is Put without a test to fail.
func TryPut(ctx context.Context, r *repo.Repository, f Files, parent *repo.Snapshot) (*repo.Snapshot, error) {
	w, err := Begin(ctx, r)
	if err != nil {
		return nil, err
	}
	s, err := w.Write(ctx, f, parent)
	if err == nil {
		err = w.Commit(ctx, s)
	}
	return s, errors.Join(err, w.End(context.WithoutCancel(ctx)))
}

// Writer is a create that can be stopped between its steps.
type Writer struct {
	*repo.Session
	repo *repo.Repository
}

// Begin opens a session.
func Begin(ctx context.Context, r *repo.Repository) (*Writer, error) {
	s, err := r.Begin(ctx, repo.Create, func() time.Time { return Start })
	return &Writer{s, r}, err
}

// Write stores f and returns the snapshot that Commit is to be given.
func (w *Writer) Write(ctx context.Context, f Files, parent *repo.Snapshot) (*repo.Snapshot, error) {
	s := &repo.Snapshot{Project: "p", Environment: "e", Created: Start, Counter: 1, Consistency: repo.PerService,
		Services: []repo.Service{{Name: "files", Engine: "test", Entries: slices.Sorted(maps.Keys(f))}}}
	bases, base := map[string]tree.Stream{}, tree.Stream{}
	if parent != nil {
		base = parent.Root.Content
		s.Counter, s.Predecessor, s.Parent = parent.Counter+1, parent.Name, parent.Name
		for e, err := range w.repo.Children(ctx, parent.Root) {
			if err != nil {
				return nil, err
			}
			bases[e.Name] = e.Content
		}
	}
	err := w.Session.Write(ctx, func(ctx context.Context, into *repo.Writer) (err error) {
		s.Root, err = into.PutDirectory(ctx, tree.Entry{Name: "root", Type: tree.Directory}, base, f.entries(ctx, into, bases))
		return err
	})
	return s, err
}

func (f Files) entries(ctx context.Context, w *repo.Writer, bases map[string]tree.Stream) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, n := range slices.Sorted(maps.Keys(f)) {
			e, err := w.Put(ctx, repo.Fine, tree.Entry{Name: n, Type: tree.File}, bases[n], bytes.NewReader(f[n]))
			if !yield(e, err) {
				return
			}
		}
	}
}

// MustHold reads all of a snapshot and compares it with want.
func MustHold(t testing.TB, r *repo.Repository, s *repo.Snapshot, want Files) {
	t.Helper()
	if err := Holds(t.Context(), r, s, want); err != nil {
		t.Error(err)
	}
}

// Holds is MustHold without a test to fail.
func Holds(ctx context.Context, r *repo.Repository, s *repo.Snapshot, want Files) error {
	got := 0
	for e, err := range r.Children(ctx, s.Root) {
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Name, err)
		}
		content := r.Open(ctx, e)
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("snapshot %s: %s: %w", s.Name, e.Name, err)
		}
		if !bytes.Equal(data, want[e.Name]) {
			return fmt.Errorf("snapshot %s: %s: %d bytes, want %d, or other ones", s.Name, e.Name, len(data), len(want[e.Name]))
		}
		got++
	}
	if got != len(want) {
		return fmt.Errorf("snapshot %s: %d files, want %d", s.Name, got, len(want))
	}
	return nil
}

// MustBeWhole reads every byte and reports every problem.
func MustBeWhole(t testing.TB, r *repo.Repository) *check.Report {
	t.Helper()
	report, err := check.Run(context.WithoutCancel(t.Context()), r, check.Options{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("check: %v", p)
	}
	return report
}

// Gone returns the packs that the index names and that are not there.
func Gone(t testing.TB, r *repo.Repository) (gone [][32]byte) {
	t.Helper()
	named, err1 := r.IndexedPacks(t.Context())
	stored, err2 := r.StoredPacks(t.Context())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name := range named {
		if _, there := stored[name]; !there {
			gone = append(gone, name)
		}
	}
	return gone
}

// Random returns bytes that neither compress nor occur twice.
func Random(seed uint64, n int) []byte {
	data := make([]byte, n)
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// Dump looks like one: text whose rows are all different.
func Dump(seed uint64, rows int) []byte {
	r := mathrand.New(mathrand.NewPCG(seed, 2))
	var b bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d,'%x','%x');\n", i, r.Uint64(), r.Uint64())
	}
	return b.Bytes()
}
