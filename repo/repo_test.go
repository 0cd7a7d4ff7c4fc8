package repo_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
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
	"holdfast/repo/repotest"
)

var (
	cheap  = seal.Cost{Memory: 64, Passes: 1, Lanes: 1}
	secret = repo.Secret{Password: []byte("correct horse")}
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

var emptyStream tree.Stream

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

func TestWhatIsPutComesBackFromTheRepositoryAlone(t *testing.T) {
	p := newPlace(t)
	want := repotest.Files{"empty": nil, "one byte": {1}, "short": []byte("short"), "zeros": make([]byte, 3<<20),
		"random": repotest.Random(1, 5<<20), "text": repotest.Dump(1, 60_000), "again": repotest.Random(1, 5<<20)}
	s := repotest.Put(t, p.open(), want, nil)

	r := p.open()
	read, err := r.Snapshot(t.Context(), s.Name)
	if err != nil {
		t.Fatal(err)
	}
	repotest.MustHold(t, r, read, want)
	repotest.MustBeWhole(t, r)
}

func TestASecondDayStoresAboutItsChanges(t *testing.T) {
	p := newPlace(t)
	day1 := repotest.Files{"dump.sql": repotest.Dump(1, 100_000), "image": repotest.Random(2, 4<<20)}
	first := repotest.Put(t, p.open(), day1, nil)
	before := totals(t, p.open())

	day2 := repotest.Files{"dump.sql": bytes.Clone(day1["dump.sql"]), "image": day1["image"]}
	for at := 10_000; at < len(day2["dump.sql"]); at += 100_000 {
		copy(day2["dump.sql"][at:], "CHANGED")
	}
	second := repotest.Put(t, p.open(), day2, first)
	r := p.open()
	after := totals(t, r)
	if grown := after.Stored - before.Stored; grown > 100_000 {
		t.Errorf("the repository grew by %d bytes for 60 changes of 7 bytes", grown)
	}
	if after.Deltas == 0 {
		t.Error("nothing was stored as a difference")
	}
	repotest.MustHold(t, r, first, day1)
	repotest.MustHold(t, r, second, day2)
	repotest.MustBeWhole(t, r)
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
	data := repotest.Dump(3, 20_000)
	var last *repo.Snapshot
	var days []*repo.Snapshot
	var contents []repotest.Files
	for range 40 {
		for range 5 {
			at := rng.IntN(len(data) - 20)
			data = slices.Concat(data[:at], []byte(fmt.Sprintf("<%d>", rng.IntN(1e6))), data[at+rng.IntN(20):])
		}
		f := repotest.Files{"dump.sql": bytes.Clone(data)}
		last = repotest.Put(t, p.open(), f, last)
		days, contents = append(days, last), append(contents, f)
	}
	r := p.open()
	for i := range days {
		repotest.MustHold(t, r, days[i], contents[i])
	}
	if repotest.MustBeWhole(t, r); totals(t, r).Deltas < 20 {
		t.Errorf("%d deltas in 40 days", totals(t, r).Deltas)
	}
}

// announce does what a program does that is to write objects of a later version.
func announce(t *testing.T, p place, version byte) {
	t.Helper()
	dir := filepath.Join(p.dir, "repo/versions")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d", version)), nil, 0o400)); err != nil {
		t.Fatal(err)
	}
}

// TestOnlySlotUnreadable: it is named, and the password, which nobody could try,
// is not called wrong.
func TestOnlySlotUnreadable(t *testing.T) {
	for what, value := range map[string]byte{"damaged": 0, "of a newer format": 9} {
		p := newPlace(t)
		if value > 0 {
			announce(t, p, value)
		}
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
	want := repotest.Files{"a": repotest.Random(1, 1<<20), "b": repotest.Dump(1, 10_000)}
	first := repotest.Put(t, p.open(), want, nil)
	edited := repotest.Files{"a": want["a"], "b": append(bytes.Clone(want["b"]), "more"...)}
	second := repotest.Put(t, p.open(), edited, first)

	r := p.open()
	done, err := r.RebuildIndex(t.Context(), now, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if done.Packs == 0 || done.Segments != 1 || done.Replaced != 2 || len(done.Skipped) != 0 {
		t.Errorf("rebuilt: %+v", done)
	}
	for _, r := range []*repo.Repository{r, p.open()} {
		repotest.MustHold(t, r, first, want)
		repotest.MustHold(t, r, second, edited)
		repotest.MustBeWhole(t, r)
	}
}
