package repo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/check"
)

var (
	cheap  = seal.Cost{Memory: 64, Passes: 1, Lanes: 1}
	secret = repo.Secret{Password: []byte("correct horse")}
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

var (
	rootEntry   = tree.Entry{Name: "root", Type: tree.Directory}
	emptyStream tree.Stream
)

func now() time.Time { return start }

// place is a repository on disk that a test opens again and again.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{t, t.TempDir()}
	store, err := storage.CreateLocal(filepath.Join(p.dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r, err := repo.Init(t.Context(), store, secret, repo.Slot{Label: "first", Cost: cheap, Now: start}, "test", p.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p place) options() repo.Options {
	return repo.Options{CacheDir: filepath.Join(p.dir, "cache"), Random: rand.Reader}
}

// open opens the repository anew; at the end of the test it is checked.
func (p place) open() *repo.Repository {
	p.t.Helper()
	store, err := storage.OpenLocal(filepath.Join(p.dir, "repo"))
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := repo.Open(p.t.Context(), store, secret, p.options())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { r.Close(); store.Close() })
	return r
}

func mustBeWhole(t *testing.T, r *repo.Repository) *check.Report {
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

// files is what a test puts into a snapshot and expects back.
type files map[string][]byte

func (f files) names() []string {
	var names []string
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// put takes a snapshot of f, each file with the parent's as its base.
func put(t *testing.T, r *repo.Repository, f files, parent *repo.Snapshot) *repo.Snapshot {
	t.Helper()
	ctx := t.Context()
	session, err := r.Begin(ctx, repo.Create, now)
	if err != nil {
		t.Fatal(err)
	}
	s := &repo.Snapshot{Project: "p", Environment: "e", Created: start, Counter: 1, Consistency: repo.PerService,
		Services: []repo.Service{{Name: "files", Engine: "test", Entries: f.names()}}}
	bases, base := map[string]tree.Stream{}, emptyStream
	if parent != nil {
		base = parent.Root.Content
		s.Counter, s.Predecessor, s.Parent = parent.Counter+1, parent.Name, parent.Name
		for e, err := range r.Children(ctx, parent.Root) {
			if err != nil {
				t.Fatal(err)
			}
			bases[e.Name] = e.Content
		}
	}
	err = session.Write(ctx, func(ctx context.Context, w *repo.Writer) (err error) {
		s.Root, err = w.PutDirectory(ctx, rootEntry, base, f.entries(ctx, w, bases))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Commit(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := session.End(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func (f files) entries(ctx context.Context, w *repo.Writer, bases map[string]tree.Stream) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, n := range f.names() {
			e, err := w.Put(ctx, repo.Fine, tree.Entry{Name: n, Type: tree.File}, bases[n], bytes.NewReader(f[n]))
			if !yield(e, err) {
				return
			}
		}
	}
}

func mustHold(t *testing.T, r *repo.Repository, s *repo.Snapshot, want files) {
	t.Helper()
	got := 0
	for e, err := range r.Children(t.Context(), s.Root) {
		if err != nil {
			t.Fatal(err)
		}
		content := r.Open(t.Context(), e)
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if !bytes.Equal(data, want[e.Name]) {
			t.Errorf("%s: %d bytes, want %d, or other ones", e.Name, len(data), len(want[e.Name]))
		}
		got++
	}
	if got != len(want) {
		t.Errorf("%d files, want %d", got, len(want))
	}
}

func random(seed uint64, n int) []byte {
	data := make([]byte, n)
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// dump looks like one: text whose rows are all different.
func dump(seed uint64, rows int) []byte {
	r := mathrand.New(mathrand.NewPCG(seed, 2))
	var b bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d,'%x','%x');\n", i, r.Uint64(), r.Uint64())
	}
	return b.Bytes()
}

func TestWhatIsPutComesBackFromTheRepositoryAlone(t *testing.T) {
	p := newPlace(t)
	want := files{"empty": nil, "one byte": {1}, "short": []byte("short"), "zeros": make([]byte, 3<<20),
		"random": random(1, 5<<20), "text": dump(1, 60_000), "again": random(1, 5<<20)}
	s := put(t, p.open(), want, nil)

	r := p.open()
	read, err := r.Snapshot(t.Context(), s.Name)
	if err != nil {
		t.Fatal(err)
	}
	mustHold(t, r, read, want)
	mustBeWhole(t, r)
}

func TestASecondDayStoresAboutItsChanges(t *testing.T) {
	p := newPlace(t)
	day1 := files{"dump.sql": dump(1, 100_000), "image": random(2, 4<<20)}
	first := put(t, p.open(), day1, nil)
	before := totals(t, p.open())

	day2 := files{"dump.sql": bytes.Clone(day1["dump.sql"]), "image": day1["image"]}
	for at := 10_000; at < len(day2["dump.sql"]); at += 100_000 {
		copy(day2["dump.sql"][at:], "CHANGED")
	}
	second := put(t, p.open(), day2, first)
	r := p.open()
	after := totals(t, r)
	if grown := after.Stored - before.Stored; grown > 100_000 {
		t.Errorf("the repository grew by %d bytes for 60 changes of 7 bytes", grown)
	}
	if after.Deltas == 0 {
		t.Error("nothing was stored as a difference")
	}
	mustHold(t, r, first, day1)
	mustHold(t, r, second, day2)
	mustBeWhole(t, r)
}

func totals(t *testing.T, r *repo.Repository) repo.Totals {
	t.Helper()
	sum, err := r.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestManyDaysOfDeltasStayReadable(t *testing.T) {
	p := newPlace(t)
	rng := mathrand.New(mathrand.NewPCG(7, 7))
	data := dump(3, 20_000)
	var last *repo.Snapshot
	var days []*repo.Snapshot
	var contents []files
	for range 40 {
		for range 5 {
			at := rng.IntN(len(data) - 20)
			data = slices.Concat(data[:at], []byte(fmt.Sprintf("<%d>", rng.IntN(1e6))), data[at+rng.IntN(20):])
		}
		f := files{"dump.sql": bytes.Clone(data)}
		last = put(t, p.open(), f, last)
		days, contents = append(days, last), append(contents, f)
	}
	r := p.open()
	for i := range days {
		mustHold(t, r, days[i], contents[i])
	}
	if mustBeWhole(t, r); totals(t, r).Deltas < 20 {
		t.Errorf("%d deltas in 40 days", totals(t, r).Deltas)
	}
}

// TestOnlySlotUnreadable: it is named, and the password, which nobody could try,
// is not called wrong.
func TestOnlySlotUnreadable(t *testing.T) {
	for what, value := range map[string]byte{"damaged": 0, "of a newer format": 9} {
		p := newPlace(t)
		slots, err := filepath.Glob(filepath.Join(p.dir, "repo/keys/*"))
		if err != nil || len(slots) != 1 {
			t.Fatal(slots, err)
		}
		object, err := os.ReadFile(slots[0])
		if err != nil {
			t.Fatal(err)
		}
		if value == 0 {
			object = object[:len(object)/2]
		} else {
			object[5] = value // the version
		}
		if err := errors.Join(os.Remove(slots[0]), os.WriteFile(slots[0], object, 0o400)); err != nil {
			t.Fatal(err)
		}
		store, err := storage.OpenLocal(filepath.Join(p.dir, "repo"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, err = repo.Open(t.Context(), store, secret, p.options())
		if err == nil || errors.Is(err, repo.ErrWrongSecret) || errors.Is(err, seal.ErrVersion) != (value > 0) ||
			!strings.Contains(err.Error(), "keys/"+filepath.Base(slots[0])) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWrongSecretAndNoRepository(t *testing.T) {
	p := newPlace(t)
	store, err := storage.OpenLocal(filepath.Join(p.dir, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := repo.Open(t.Context(), store, repo.Secret{Password: []byte("wrong")}, p.options()); !errors.Is(err, repo.ErrWrongSecret) {
		t.Errorf("wrong password: %v", err)
	}
	var token seal.Token
	if _, err := repo.Open(t.Context(), store, repo.Secret{Token: &token}, p.options()); !errors.Is(err, repo.ErrWrongSecret) {
		t.Errorf("wrong token: %v", err)
	}
	empty, err := storage.CreateLocal(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if _, err := repo.Open(t.Context(), empty, secret, p.options()); !errors.Is(err, repo.ErrNoRepository) {
		t.Errorf("empty storage: %v", err)
	}
	if _, err := repo.Init(t.Context(), store, secret, repo.Slot{Cost: cheap, Now: start}, "test", p.options()); !errors.Is(err, repo.ErrExists) {
		t.Errorf("second init: %v", err)
	}
}

func TestRebuildIndexFindsEverythingAgain(t *testing.T) {
	p := newPlace(t)
	want := files{"a": random(1, 1<<20), "b": dump(1, 10_000)}
	first := put(t, p.open(), want, nil)
	edited := files{"a": want["a"], "b": append(bytes.Clone(want["b"]), "more"...)}
	second := put(t, p.open(), edited, first)

	r := p.open()
	done, err := r.RebuildIndex(t.Context(), now, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if done.Packs == 0 || done.Segments != 1 || done.Replaced != 2 || len(done.Skipped) != 0 {
		t.Errorf("rebuilt: %+v", done)
	}
	for _, r := range []*repo.Repository{r, p.open()} {
		mustHold(t, r, first, want)
		mustHold(t, r, second, edited)
		mustBeWhole(t, r)
	}
}
