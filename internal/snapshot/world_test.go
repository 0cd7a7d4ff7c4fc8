package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"holdfast/engines"
	"holdfast/engines/files"
	"holdfast/engines/sqlite"
	"holdfast/internal/environment"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/check"
)

// world is two environments of two SQLite databases and a mount each, and a
// repository, all real.
type world struct {
	t    *testing.T
	dir  string
	repo *repo.Repository
}

var known = []engines.Engine{sqlite.Engine, files.Engine}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, name := range []string{"master", "staging"} {
		if err := os.MkdirAll(w.path(name, "uploads"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	store, err := storage.CreateLocal(filepath.Join(w.dir, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	w.repo, err = repo.Init(t.Context(), store, repo.Secret{Password: []byte("pw")},
		repo.Slot{Cost: seal.Cost{Memory: 64, Passes: 1, Lanes: 1}, Now: time.Now()}, "test", repo.Options{Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.repo.Close(); store.Close() })
	return w
}

func (w *world) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

// fill makes an environment's data of one generation.
func (w *world) fill(environment, generation string) {
	w.t.Helper()
	for _, name := range []string{"orders", "settings"} {
		w.exec(w.path(environment, name+".db"), "PRAGMA journal_mode=WAL", "CREATE TABLE IF NOT EXISTS t (v TEXT)",
			"DELETE FROM t", fmt.Sprintf("INSERT INTO t VALUES ('%s of %s')", generation, name))
	}
	for i := range 3 {
		at := w.path(environment, "uploads", generation, fmt.Sprintf("file%d", i))
		w.must(os.MkdirAll(filepath.Dir(at), 0o755))
		w.must(os.WriteFile(at, bytes.Repeat([]byte(generation), 1000*(i+1)), 0o644))
	}
	w.must(os.WriteFile(w.path(environment, "uploads", "common"), []byte(generation), 0o644))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(path string, statements ...string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", path)
	w.must(err)
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		w.must(err)
	}
}

// state describes all data of an environment, to be compared.
func (w *world) state(environment string) string {
	w.t.Helper()
	var b strings.Builder
	for _, name := range []string{"orders", "settings"} {
		at := w.path(environment, name+".db")
		if _, err := os.Stat(at); err != nil {
			fmt.Fprintf(&b, "%s: none\n", name)
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", name, w.rows(at))
	}
	root := w.path(environment, "uploads")
	w.must(filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == ".holdfast" && d.IsDir() {
			if err == nil {
				return filepath.SkipDir
			}
			return err
		}
		rel, _ := filepath.Rel(root, at)
		if d.IsDir() {
			fmt.Fprintf(&b, "%s/\n", rel)
			return nil
		}
		data, err := os.ReadFile(at)
		fmt.Fprintf(&b, "%s: %d %.12s\n", rel, len(data), data)
		return err
	}))
	return b.String()
}

func (w *world) rows(path string) string {
	w.t.Helper()
	db, err := sql.Open("sqlite", path)
	w.must(err)
	defer db.Close()
	rows, err := db.Query("SELECT name FROM sqlite_schema WHERE type='table' UNION ALL SELECT v FROM t")
	w.must(err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v string
		w.must(rows.Scan(&v))
		all = append(all, v)
	}
	return strings.Join(all, ",")
}

// leftovers lists what restores have left beside the data.
func (w *world) leftovers(environment string) []string {
	var found []string
	w.must(filepath.WalkDir(w.path(environment), func(at string, d fs.DirEntry, err error) error {
		if strings.Contains(d.Name(), "staged") || strings.Contains(d.Name(), "retired") || strings.Contains(d.Name(), "created") {
			found = append(found, at)
		}
		return err
	}))
	if _, err := os.Stat(PlaceOf(w.dir, "shop", environment).journal()); err == nil {
		found = append(found, "the journal")
	}
	return found
}

func (w *world) parts(name string) []Part {
	w.t.Helper()
	e := environment.Environment{Name: name, Mounts: []environment.Mount{{Name: "uploads", Path: w.path(name, "uploads")}}}
	for _, s := range []string{"orders", "settings"} {
		e.Services = append(e.Services, environment.Service{Name: s, URL: &url.URL{Scheme: "sqlite", Path: w.path(name, s+".db")}})
	}
	parts, err := Parts(e, known, nil, false)
	w.must(err)
	return parts
}

func (w *world) creation(environment string) Creation {
	w.t.Helper()
	all, err := w.repo.Snapshots(w.t.Context())
	w.must(err)
	return Creation{Repository: w.repo, Project: "shop", Environment: environment, Parts: w.parts(environment), Barrier: NoBarrier{},
		Program: "test", Host: "here", Now: time.Now, Progress: silent{}, Lineage: all}
}

func (w *world) begin(ctx context.Context) (*repo.Session, error) {
	return w.repo.Begin(ctx, repo.Restore, time.Now)
}

func (w *world) create(environment string) *repo.Snapshot {
	w.t.Helper()
	session, err := w.repo.Begin(w.t.Context(), repo.Create, time.Now)
	w.must(err)
	c := w.creation(environment)
	s, err := c.Create(w.t.Context(), session)
	w.must(err)
	w.must(session.End(w.t.Context()))
	return s
}

// restoration plans a restore that is to be stopped.
func (w *world) restoration(s *repo.Snapshot, environment string) (*Restoration, *repo.Session) {
	w.t.Helper()
	session, err := w.begin(w.t.Context())
	w.must(err)
	r := &Restoration{Creation: w.creation(environment), Snapshot: s, Place: PlaceOf(w.dir, "shop", environment), Safety: true}
	unlock, err := r.Place.Lock()
	w.must(err)
	unlock() // what Lock makes is needed, and no process dies in a test
	_, err = r.Plan(w.t.Context(), session.Name.String())
	w.must(err)
	return r, session
}

// restore does all that the command does, and nothing goes wrong.
func (w *world) restore(s *repo.Snapshot, environment string) *Outcome {
	w.t.Helper()
	session, err := w.begin(w.t.Context())
	w.must(err)
	r := &Restoration{Creation: w.creation(environment), Snapshot: s, Place: PlaceOf(w.dir, "shop", environment), Safety: true}
	defer r.Close()
	unlock, err := r.Place.Lock()
	w.must(err)
	defer unlock()
	_, err = r.Plan(w.t.Context(), session.Name.String())
	w.must(err)
	o, err := r.Restore(w.t.Context(), session)
	w.must(err)
	w.must(session.End(w.t.Context()))
	return o
}

func (w *world) mustBeWhole() {
	w.t.Helper()
	report, err := check.Run(w.t.Context(), w.repo, check.Options{ReadData: true})
	w.must(err)
	for _, p := range report.Problems {
		w.t.Errorf("check: %v", p)
	}
}

type silent struct{}

func (silent) Expect(uint64) {}
func (silent) Read(int)      {}
func (silent) Kept(uint64)   {}
func (silent) Entry()        {}
func (silent) Stored(uint64) {}
func (silent) Step(string)   {}

func (silent) Phase(string, bool) {}
