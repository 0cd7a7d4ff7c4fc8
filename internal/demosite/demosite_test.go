package demosite

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// small is a site of about 2,000 rows and 4 uploads.
var small = Options{Seed: 1, Scale: 0.02}

// newSite creates a site in a directory of its own and closes it with the test.
func newSite(t *testing.T, o Options) (*Site, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	s, err := Create(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func seqOf(t *testing.T, s *Site) int64 {
	t.Helper()
	seq, err := s.Seq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func historyOf(t *testing.T, dir string) History {
	t.Helper()
	history, err := ReadHistory(HistoryFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	return history
}

// copyOf copies rows and files of a site, rows first, as a snapshot does.
func copyOf(t *testing.T, s *Site) Place {
	t.Helper()
	to := In(t.TempDir())
	if _, err := s.db.ExecContext(t.Context(), "VACUUM INTO ?", to.Database); err != nil {
		t.Fatal(err)
	}
	exec(t, to, "PRAGMA journal_mode=WAL") // as the site has it
	if err := os.CopyFS(to.Uploads, os.DirFS(s.place.Uploads)); err != nil {
		t.Fatal(err)
	}
	return to
}

func run(t *testing.T, p Place, statement string) {
	t.Helper()
	db, err := openDatabase(t.Context(), p.Database, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if result, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	} else if n, _ := result.RowsAffected(); n == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
}

// anUpload returns the path of one file of p.
func anUpload(t *testing.T, p Place) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(p.Uploads, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no upload in %s: %v", p.Uploads, err)
	}
	return found
}

func flipByte(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCreateGivesTheSameSiteForTheSameSeed(t *testing.T) {
	prints := map[string]Fingerprint{}
	for name, o := range map[string]Options{"one": small, "again": small, "other": {Seed: 2, Scale: small.Scale}} {
		s, _ := newSite(t, o)
		var err error
		if prints[name], err = Take(t.Context(), s.Place()); err != nil {
			t.Fatal(err)
		}
	}
	if prints["one"] != prints["again"] {
		t.Errorf("the same seed gave %+v and %+v", prints["one"], prints["again"])
	}
	if prints["one"].Digest == prints["other"].Digest {
		t.Error("another seed gave the same site")
	}
	if p := prints["one"]; p.Rows < 2000 || p.Files != 4 || p.Bytes < 4*60_000 {
		t.Errorf("created %+v, want about 2,100 rows and 4 uploads", p)
	}
}

func TestCreateNeverReplacesASite(t *testing.T) {
	s, dir := newSite(t, small)
	before, err := Take(t.Context(), s.Place())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), dir, Options{Seed: 9, Scale: 0.01}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("error is %v, want that the site exists already", err)
	}
	if after, err := Take(t.Context(), s.Place()); err != nil || after != before {
		t.Errorf("the site was altered: %v", err)
	}
}

// Traffic over HTTP leaves a site of which the history knows every row and file.
func TestHistoryKnowsWhatTrafficDid(t *testing.T) {
	s, dir := newSite(t, small)
	before := seqOf(t, s)
	tally := visit(t, s, 1, func() { awaitChanges(t, s, 60) })
	if tally.Failed > 0 || tally.Requests == 0 || tally.Changes == 0 || tally.Slowest == 0 {
		t.Fatalf("visitors saw %+v, want changes and no failure", tally)
	}
	after := seqOf(t, s)
	if int(after-before) != tally.Changes {
		t.Errorf("%d changes for %d requests that change something", after-before, tally.Changes)
	}
	report, err := historyOf(t, dir).Verify(t.Context(), s.Place(), Window{after, after})
	if err = errors.Join(err, report.Err()); err != nil {
		t.Error(err)
	}
	report, err = Invariants(t.Context(), s.Place())
	if err = errors.Join(err, report.Err()); err != nil || report.Ahead != 0 {
		t.Errorf("invariants: %v, %d files without a row", err, report.Ahead)
	}
}

// visit serves s and sends it visitors until meanwhile returns. It returns what
// they saw.
func visit(t *testing.T, s *Site, seed uint64, meanwhile func()) Tally {
	t.Helper()
	address, stop, err := s.Serve()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var tally Tally
	var group errgroup.Group
	group.Go(func() (err error) {
		tally, err = Traffic{Address: address, Rate: 300, For: time.Hour, Seed: seed}.Run(ctx)
		return err
	})
	meanwhile()
	end()
	if err := errors.Join(group.Wait(), stop()); err != nil {
		t.Fatal(err)
	}
	return tally
}

// awaitChanges waits until visitors have made n more changes.
func awaitChanges(t *testing.T, s *Site, n int64) {
	t.Helper()
	for end := seqOf(t, s) + n; seqOf(t, s) < end; {
		time.Sleep(time.Millisecond)
	}
}

// A copy taken while visitors write is that of one change exactly.
func TestCopyUnderTrafficIsVerifiedExactly(t *testing.T) {
	s, dir := newSite(t, small)
	var w Window
	var to Place
	tally := visit(t, s, 2, func() {
		awaitChanges(t, s, 20)
		w.From = seqOf(t, s)
		to = copyOf(t, s)
		var err error
		if w.To, err = s.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitChanges(t, s, 20)
	})
	if tally.Failed > 0 {
		t.Fatalf("visitors saw %+v", tally)
	}
	history := historyOf(t, dir)
	report, err := history.Verify(t.Context(), to, w)
	if err = errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	if report.Seq < w.From || report.Seq > w.To || int64(len(history)) < w.To+20 {
		t.Errorf("the copy is of change %d in %+v, the site is at %d", report.Seq, w, len(history))
	}
	if report, err := history.Verify(t.Context(), to, Window{w.From - 10, report.Seq - 1}); err != nil || report.Err() == nil {
		t.Errorf("a copy newer than its window was accepted: %v", err)
	}
}

func TestFingerprintTellsStatesApart(t *testing.T) {
	s, _ := newSite(t, small)
	whole := copyOf(t, s)
	want, err := Take(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := Take(t.Context(), s.Place()); err != nil || same != want {
		t.Errorf("a copy has %v and the site %v: %v", want, same, err)
	}
	for name, damage := range map[string]func(t *testing.T, p Place){
		"a byte": func(t *testing.T, p Place) { flipByte(t, anUpload(t, p)) },
		"a row":  func(t *testing.T, p Place) { run(t, p, "UPDATE users SET name = name || '!' WHERE id = 1") },
		"a name": func(t *testing.T, p Place) { path := anUpload(t, p); os.Rename(path, path+"x") },
	} {
		p := copyOf(t, s)
		damage(t, p)
		if got, err := Take(t.Context(), p); err != nil || got.Digest == want.Digest {
			t.Errorf("%s changed, the fingerprint did not: %v", name, err)
		}
	}
}

func TestVerifyWritesNothing(t *testing.T) {
	s, dir := newSite(t, small)
	p := copyOf(t, s)
	before, err := os.ReadFile(p.Database)
	if err != nil {
		t.Fatal(err)
	}
	seq := seqOf(t, s)
	if _, err := historyOf(t, dir).Verify(t.Context(), p, Window{seq, seq}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(p.Database)
	if err != nil || string(before) != string(after) {
		t.Errorf("the database was altered: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(p.Database))
	if err != nil || len(entries) != 2 {
		t.Errorf("%v is there beside the database and the uploads: %v", entries, err)
	}
}

func TestChangeIsAsLargeAsAsked(t *testing.T) {
	s, dir := newSite(t, Options{Seed: 1, Scale: 0.05})
	before := historyOf(t, dir).rowsAt(seqOf(t, s))
	done, err := s.Change(t.Context(), 0.05, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Changed{Edited: 8, Commented: 150, Withdrawn: 15, Ordered: 100, Uploaded: 1}); done != want {
		t.Errorf("changed %+v, want %+v", done, want)
	}
	seq := seqOf(t, s)
	history := historyOf(t, dir)
	report, err := history.Verify(t.Context(), s.Place(), Window{seq, seq})
	if err = errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for key, sum := range history.rowsAt(seq) {
		if before[key] != sum {
			changed++
		}
	}
	if changed < len(before)*4/100 || changed > len(before)*8/100 {
		t.Errorf("%d of %d rows are new or changed, want about 5 %%", changed, len(before))
	}
}

func TestRequestsThatMakeNoSenseChangeNothing(t *testing.T) {
	s, _ := newSite(t, small)
	before := seqOf(t, s)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for request, want := range map[string]int{
		"GET /articles/999999":                                404,
		"GET /uploads/999999":                                 404,
		"GET /nothing":                                        404,
		"PUT /articles/999999":                                404,
		"POST /articles/1/comments?author=999999":             404,
		"POST /articles/x/comments?author=1":                  404,
		"POST /uploads?author=0":                              404,
		"DELETE /comments/999999":                             404,
		"POST /orders?customer=1&product=1&quantity=0":        409,
		"POST /orders?customer=1&product=1&quantity=99999999": 409,
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("text"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s, want %d", request, response.Status, want)
		}
	}
	if after := seqOf(t, s); after != before {
		t.Errorf("%d changes were committed", after-before)
	}
	if report, err := Invariants(t.Context(), s.Place()); err != nil || report.Err() != nil || report.Ahead > 0 {
		t.Errorf("invariants: %v, %+v", err, report)
	}
}

// Visitors come on time whether or not the site answers.
func TestTrafficCountsWhatFails(t *testing.T) {
	var requests atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 { // what there is to visit
			w.Write([]byte("{}"))
			return
		}
		http.Error(w, "closed for stock-taking", http.StatusServiceUnavailable)
	}))
	defer site.Close()
	tally, err := Traffic{Address: site.URL, Rate: 200, For: 300 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tally.Requests == 0 || tally.Failed != tally.Requests || tally.Changes != 0 || !strings.Contains(tally.Failure, "503") {
		t.Errorf("visitors saw %+v, want nothing but 503", tally)
	}
	site.Close()
	if _, err := (Traffic{Address: site.URL, Rate: 1, For: time.Hour}).Run(t.Context()); err == nil {
		t.Error("a site that is not there was visited")
	}
}
