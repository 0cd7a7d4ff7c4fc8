package repo_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/seal"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

var freeze = flag.Bool("freeze", false, "make the frozen repository of the current format version anew")

const (
	frozen = "testdata/frozen"
	// formatVersion is that of a repository that is made today.
	formatVersion = "1"
)

// frozenDays are what the snapshots of a frozen repository hold: they will for
// ever.
func frozenDays() []repotest.Files {
	first := repotest.Files{"dump.sql": repotest.Dump(1, 900), "empty": nil, "image": repotest.Random(2, 20_000), "text": bytes.Repeat([]byte("all the same "), 500)}
	second := repotest.Files{"dump.sql": bytes.Replace(first["dump.sql"], []byte("(450,"), []byte("(99450,"), 1), "image": first["image"], "new": []byte("new")}
	return []repotest.Files{first, second}
}

// frozenToken opens a second key slot.
var frozenToken = repo.Secret{Token: &seal.Token{1, 2, 3}}

// TestFrozenRepositoriesAreRestored: what any version of the format has written
// is opened, checked and restored, byte for byte.
func TestFrozenRepositoriesAreRestored(t *testing.T) {
	if *freeze {
		freezeNow(t)
	}
	versions, err := os.ReadDir(frozen)
	if err != nil {
		t.Fatal(err)
	}
	current := false
	for _, version := range versions {
		current = current || version.Name() == formatVersion
		t.Run(version.Name(), func(t *testing.T) {
			store := load(t, filepath.Join(frozen, version.Name()))
			r := mustOpen(t, store)
			all, err := r.Snapshots(t.Context())
			if err != nil || len(all) != len(frozenDays()) {
				t.Fatalf("%d snapshots, %v", len(all), err)
			}
			slices.SortFunc(all, func(a, b repo.Listed) int { return int(a.Counter) - int(b.Counter) })
			for i, s := range all {
				repotest.MustHold(t, r, s.Snapshot, frozenDays()[i])
			}
			if !all[0].Pinned || all[1].Deleted.IsZero() {
				t.Errorf("marks: %+v", all)
			}
			if c, err := r.Condemned(t.Context()); err != nil || c.Number != 1 || len(c.Groups) != 1 {
				t.Errorf("condemned: %+v, %v", c, err)
			}
			if open, err := r.Sessions(t.Context()); err != nil || len(open) != 1 {
				t.Errorf("sessions: %+v, %v", open, err)
			}
			if deltas := totals(t, r).Deltas; deltas == 0 {
				t.Error("nothing is stored as a difference")
			}
			repotest.MustBeWhole(t, r)
			// And it can be written to.
			third := repotest.Files{"dump.sql": append(bytes.Clone(frozenDays()[1]["dump.sql"]), "more"...)}
			repotest.MustHold(t, mustOpen(t, store), repotest.Put(t, mustOpen(t, store), third, all[0].Snapshot), third)
			if _, err := repo.Open(t.Context(), store, frozenToken, repo.Options{Random: rand.Reader}); err != nil {
				t.Errorf("by token: %v", err)
			}
		})
	}
	if !current {
		t.Errorf("there is none of the current version: go test ./repo -run Frozen -freeze")
	}
	t.Attr("cases", strconv.Itoa(len(versions)))
}

// load reads a directory into a storage in memory.
func load(t *testing.T, dir string) *storagetest.Memory {
	t.Helper()
	store, folders := storagetest.NewMemory(), map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		store.Replace(filepath.ToSlash(name), data)
		folder, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		folders[folder] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"config", "keys", "sessions", "packs", "index", "snapshots", "pins", "trash", "condemned", "leases", "activities", "parity"} {
		if !folders[folder] {
			t.Errorf("%s holds no %s", dir, folder)
		}
	}
	return store
}

// freezeNow writes a repository with an object of each kind.
func freezeNow(t *testing.T) {
	ctx, store := t.Context(), storagetest.NewMemory()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := repo.Init(ctx, store, secret, repo.Slot{Label: "first", Cost: cheap, Now: start}, "frozen", repo.Options{Random: rand.Reader})
	must(err)
	_, err = r.AddKey(ctx, frozenToken, repo.Slot{Label: "machine", Now: start})
	must(err)
	must(r.SetParity(ctx, 5, start))
	var made []*repo.Snapshot
	for i, day := range frozenDays() {
		var parent *repo.Snapshot
		if i > 0 {
			parent = made[i-1]
		}
		made = append(made, repotest.Put(t, mustOpen(t, store), day, parent))
	}
	_, err = r.Mark(ctx, made[0].Name, repo.Pin, start)
	must(err)
	_, err = r.Mark(ctx, made[1].Name, repo.Delete, start)
	must(err)
	killed, err := r.Begin(ctx, repo.Create, now)
	must(err)
	must(r.EndSession(ctx, repo.Announced{Name: killed.Name, Kind: repo.Create})) // a tombstone
	_, err = r.Begin(ctx, repo.Restore, now)
	must(err)
	must(r.Publish(ctx, &repo.Condemned{Number: 1, At: start, By: killed.Name, Groups: []repo.Group{{Number: 1, At: start, State: repo.GroupCondemned, Packs: [][32]byte{{1}}}}}))
	must(r.Leases().Create(ctx, "leases/"+r.Place("p", "e")+"/00000001", []byte("as package activity has it")))
	must(r.Activities().Create(ctx, "activities/"+made[0].Name.String()+"/00000001", []byte("as package activity has it")))
	dir := filepath.Join(frozen, formatVersion)
	must(os.RemoveAll(dir))
	for _, name := range store.Names() {
		data, _ := store.Object(name)
		must(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
}
