package repair_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	mathrand "math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/repair"
)

var (
	cheap  = seal.Cost{Memory: 64, Passes: 1, Lanes: 1}
	secret = repo.Secret{Password: []byte("correct horse")}
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func now() time.Time { return start }

// site is what the snapshots of a test are of: a mount of files in directories,
// and a database of one file.
type site struct {
	uploads map[string]map[string][]byte // by directory and file
	db      []byte
}

// world is a repository in memory, and what its snapshots must hold.
type world struct {
	store     *storagetest.Memory
	snapshots []*repo.Snapshot
	sites     []site
}

func open(t *testing.T, s storage.Storage) *repo.Repository {
	t.Helper()
	r, err := repo.Open(t.Context(), s, secret, repo.Options{Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(seed uint64, rows int) []byte {
	r := mathrand.New(mathrand.NewPCG(seed, 2))
	var b bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d,'%x','%x');\n", i, r.Uint64(), r.Uint64())
	}
	return b.Bytes()
}

// newWorld takes three snapshots, the later ones with deltas.
func newWorld(t *testing.T) world {
	t.Helper()
	w := world{store: storagetest.NewMemory()}
	if _, err := repo.Init(t.Context(), w.store, secret, repo.Slot{Cost: cheap, Now: start}, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	day := site{db: text(1, 6000), uploads: map[string]map[string][]byte{
		"2025": {"a.txt": text(2, 2000), "b.txt": text(3, 10)},
		"2026": {"c.txt": text(4, 5000)},
	}}
	for d := range 3 {
		w.take(t, w.store, day)
		day.db = bytes.Replace(day.db, fmt.Appendf(nil, "(%d,", 1000*d), []byte("(77777,"), 1)
		day.uploads = map[string]map[string][]byte{"2025": day.uploads["2025"], "2026": day.uploads["2026"],
			"new": {fmt.Sprint("day", d): text(uint64(10+d), 3000)}}
	}
	return w
}

// take takes a snapshot as internal/snapshot does: what is like in the parent
// serves as base, and a damaged snapshot is nobody's parent.
func (w *world) take(t *testing.T, store storage.Storage, day site) *repo.Snapshot {
	t.Helper()
	ctx := t.Context()
	r := open(t, store)
	all, err := r.Snapshots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	session, err := r.Begin(ctx, repo.Create, now)
	if err != nil {
		t.Fatal(err)
	}
	s := &repo.Snapshot{Project: "p", Environment: "e", Created: start, Counter: uint64(len(all)) + 1, Consistency: repo.PerService, Services: []repo.Service{
		{Name: "db", Engine: "sqlite", Entries: []string{"db.sqlite"}}, {Name: "uploads", Engine: "files", Entries: []string{"uploads"}}}}
	bases := map[string]tree.Stream{}
	for _, old := range all {
		if old.Damage == nil && !session.LostPacks() {
			collect(t, r, old.Root, "", bases)
		}
	}
	err = session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		db, err := w.Put(ctx, repo.Fine, tree.Entry{Name: "db.sqlite", Type: tree.File}, bases["db.sqlite"], bytes.NewReader(day.db))
		if err != nil {
			return err
		}
		var directories []tree.Entry
		for _, name := range slices.Sorted(keys(day.uploads)) {
			var files []tree.Entry
			for _, file := range slices.Sorted(keys(day.uploads[name])) {
				e, err := w.Put(ctx, repo.Coarse, tree.Entry{Name: file, Type: tree.File}, bases["uploads/"+name+"/"+file], bytes.NewReader(day.uploads[name][file]))
				if err != nil {
					return err
				}
				files = append(files, e)
			}
			e, err := w.PutDirectory(ctx, tree.Entry{Name: name, Type: tree.Directory}, bases["uploads/"+name], each(files))
			if err != nil {
				return err
			}
			directories = append(directories, e)
		}
		uploads, err := w.PutDirectory(ctx, tree.Entry{Name: "uploads", Type: tree.Directory}, bases["uploads"], each(directories))
		if err != nil {
			return err
		}
		s.Root, err = w.PutDirectory(ctx, tree.Entry{Name: "root", Type: tree.Directory}, bases[""], each([]tree.Entry{db, uploads}))
		return err
	})
	if err == nil {
		err = session.Commit(ctx, s)
	}
	if err := errors.Join(err, session.End(ctx)); err != nil {
		t.Fatal(err)
	}
	w.snapshots, w.sites = append(w.snapshots, s), append(w.sites, day)
	return s
}

func keys[V any](m map[string]V) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func each(entries []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func collect(t *testing.T, r *repo.Repository, e tree.Entry, at string, into map[string]tree.Stream) {
	into[at] = e.Content
	if e.Type != tree.Directory {
		return
	}
	for child, err := range r.Children(t.Context(), e) {
		if err != nil {
			t.Fatal(err)
		}
		collect(t, r, child, strings.TrimPrefix(at+"/"+child.Name, "/"), into)
	}
}

// files are all files of a site, as a restore makes them.
func (s site) files() map[string][]byte {
	all := map[string][]byte{"db.sqlite": s.db}
	for d, files := range s.uploads {
		for name, data := range files {
			all["uploads/"+d+"/"+name] = data
		}
	}
	return all
}

// restored reads all files of a snapshot; whatever is there must be right.
func restored(t *testing.T, r *repo.Repository, s *repo.Snapshot, want site) map[string][]byte {
	t.Helper()
	got, expected := map[string][]byte{}, want.files()
	var walk func(e tree.Entry, at string)
	walk = func(e tree.Entry, at string) {
		if e.Type == tree.Directory {
			entries, size := uint64(0), uint64(0)
			for child, err := range r.Children(t.Context(), e) {
				if err != nil {
					t.Fatalf("%s: %v", at, err)
				}
				entries, size = entries+1+child.Entries, size+child.Size
				walk(child, strings.TrimPrefix(at+"/"+child.Name, "/"))
			}
			if entries != e.Entries || size != e.Size {
				t.Errorf("%q says it has %d entries of %d bytes, it has %d of %d", at, e.Entries, e.Size, entries, size)
			}
			return
		}
		content := r.Open(t.Context(), e)
		data, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		if !bytes.Equal(data, expected[at]) {
			t.Errorf("%s was read wrong", at)
		}
		got[at] = data
	}
	walk(s.Root, "")
	return got
}

func options() repair.Options {
	return repair.Options{Now: now, Divisible: func(engine string) bool { return engine == "files" }}
}

func mustRepair(t *testing.T, s storage.Storage, o repair.Options) *repair.Report {
	t.Helper()
	report, err := repair.Run(t.Context(), open(t, s), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func problems(t *testing.T, s storage.Storage) []*check.Problem {
	t.Helper()
	report, err := check.Run(t.Context(), open(t, s), check.Options{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	return report.Problems
}

// mustBeMended: check finds nothing any more, every snapshot yields what is left of
// it, and what is not left is named.
func mustBeMended(t *testing.T, w world, s *storagetest.Memory) (lost int) {
	t.Helper()
	for _, p := range problems(t, s) {
		t.Errorf("check after the repair: %v", p)
	}
	r := open(t, s)
	for i, taken := range w.snapshots {
		read, err := r.Snapshot(t.Context(), taken.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := restored(t, r, read, w.sites[i])
		for path := range w.sites[i].files() {
			if _, ok := got[path]; !ok {
				lost++
				if !named(read.Losses(), path) {
					t.Errorf("snapshot %d lost %s, and does not name it: %v", i, path, read.Losses())
				}
			}
		}
		if len(read.Losses()) > 0 && len(got) == len(w.sites[i].files()) {
			t.Errorf("snapshot %d names losses and has lost nothing: %v", i, read.Losses())
		}
	}
	return lost
}

// blamed are the blobs that a report's losses name.
func blamed(r *repair.Report) []string {
	var all []string
	for _, l := range r.Lost {
		for _, lost := range l.Lost {
			all = append(all, regexp.MustCompile(`blob [0-9a-f]+`).FindAllString(lost.Reason, -1)...)
		}
	}
	return all
}

func named(losses []repo.Loss, path string) bool {
	return slices.ContainsFunc(losses, func(l repo.Loss) bool {
		return path == l.Path || strings.HasPrefix(path, l.Path+"/") || strings.HasPrefix(path, l.Path+".")
	})
}

type damage struct {
	name  string
	apply func(data []byte) []byte // nil: the object vanishes
}

var damages = []damage{
	{"vanished", nil},
	{"empty", func(d []byte) []byte { return nil }},
	{"cut", func(d []byte) []byte { return d[:len(d)/2] }},
	{"a byte longer", func(d []byte) []byte { return append(d, 0) }},
	{"first bit", func(d []byte) []byte { d[0] ^= 1; return d }},
	{"epoch", func(d []byte) []byte { d[11] ^= 1; return d }},
	{"salt", func(d []byte) []byte { d[20] ^= 1; return d }},
	{"middle", func(d []byte) []byte { d[len(d)/2] ^= 1; return d }},
	{"last bit", func(d []byte) []byte { d[len(d)-1] ^= 0x80; return d }},
}

func (d damage) to(s *storagetest.Memory, object string) {
	if d.apply == nil {
		_ = s.Delete(context.Background(), object)
		return
	}
	data, _ := s.Object(object)
	s.Replace(object, d.apply(data))
}

// TestEachObjectInEachWay damages every pack and index segment in every way. After
// one repair check is content, what is left is restored and the rest named; a dry
// run has said the same before and changed nothing; a second repair finds nothing to
// do; and the next create heals everything that is still there to be saved.
func TestEachObjectInEachWay(t *testing.T) {
	w := newWorld(t)
	cases, losing, healed := 0, 0, 0
	for _, object := range w.store.Names() {
		if !strings.HasPrefix(object, "packs/") && !strings.HasPrefix(object, "index/") {
			continue
		}
		for _, d := range damages {
			cases++
			t.Run(d.name+" "+object, func(t *testing.T) {
				state := w.store.Clone()
				d.to(state, object)
				dry := options()
				dry.DryRun = true
				recorder := storagetest.NewRecorder(t, state)
				said := mustRepair(t, recorder, dry)
				if changes := recorder.Operations(storagetest.Changes); len(changes) > 0 {
					t.Fatalf("a dry run changes %v", changes)
				}
				did := mustRepair(t, state, options())
				if len(said.Lost) != len(did.Lost) || len(said.SetAside) != len(did.SetAside) || len(said.Salvaged) != len(did.Salvaged) ||
					(said.Index == nil) != (did.Index == nil) {
					t.Errorf("the dry run says %+v, the repair did %+v", said, did)
				}
				if said, did := blamed(said), blamed(did); d.apply != nil && !slices.Equal(said, did) {
					t.Errorf("the dry run blames %q, the repair %q", said, did)
				}
				lost := mustBeMended(t, w, state)
				if (lost > 0) != (len(did.Lost) > 0) {
					t.Errorf("%d files are lost, the repair names %d snapshots", lost, len(did.Lost))
				}
				if again := mustRepair(t, state, options()); len(again.Salvaged)+len(again.SetAside) > 0 || again.Index != nil {
					t.Errorf("a second repair finds more to do: %+v", again)
				}
				if lost > 0 {
					losing++
				}
				after := w
				for i := range w.sites {
					after.take(t, state, w.sites[i])
				}
				mustRepair(t, state, options())
				if mustBeMended(t, after, state) == 0 && lost > 0 {
					healed++
				}
			})
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
	t.Logf("%d cases, %d of them lost something, all of which was stored anew in %d", cases, losing, healed)
	if losing == 0 || healed != losing {
		t.Errorf("%d cases lost something and %d healed: expected as many, and some", losing, healed)
	}
}
