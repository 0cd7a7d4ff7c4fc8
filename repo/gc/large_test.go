package gc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// A large repository has many snapshots of few, changing files: each has window
// files, and with the next one the oldest of them gives way to a new one. A file is
// a list of blobPerFile small blobs, so that millions of them take little room.
const (
	blobsPerFile = 1000
	window       = 8
	perCarrier   = 500 // files
	blobBytes    = 24
)

// TestMain lets the test binary be a collector, in a process of its own.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOLDFAST_COLLECT"); dir != "" {
		if err := collectAlone(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// collected is what a collector says when it is done.
type collected struct {
	Report   *gc.Report
	Took     time.Duration
	Heap     uint64 // bytes at most
	Resident uint64
}

func collectAlone(dir string) error {
	ctx := context.Background()
	store, err := storage.OpenLocal(dir)
	if err != nil {
		return err
	}
	r, err := repo.Open(ctx, store, repotest.Secret, repo.Options{Random: rand.Reader, CacheDir: os.Getenv("HOLDFAST_COLLECT_CACHE")})
	if err != nil {
		return err
	}
	defer r.Close()
	heap := highest("/memory/classes/heap/objects:bytes")
	began, step, since := time.Now(), "", time.Now()
	c := collected{}
	c.Report, err = gc.Run(ctx, r, gc.Options{Now: time.Now, Wait: time.Minute, Progress: func(next string, _ int64) {
		if next != step {
			fmt.Fprintf(os.Stderr, "%8s %s\n", time.Since(since).Round(time.Millisecond), step)
			step, since = next, time.Now()
		}
	}})
	if err != nil {
		return err
	}
	c.Took, c.Heap = time.Since(began), heap()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	c.Resident = uint64(usage.Maxrss) << 10
	return json.NewEncoder(os.Stdout).Encode(c)
}

// highest watches a metric until it is asked for the highest value.
func highest(metric string) func() uint64 {
	most, done := uint64(0), make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		sample := []metrics.Sample{{Name: metric}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() uint64 {
		close(done)
		watcher.Wait()
		return most
	}
}

// large is a repository in a directory.
type large struct {
	t     *testing.T
	dir   string
	store *storage.Local
	files []tree.Stream // all that snapshots have had, in order
	names []repo.Name   // of the snapshots, in order
	waste []repo.Name   // of the carriers
}

func newLarge(t *testing.T) *large {
	l := &large{t: t, dir: filepath.Join(t.TempDir(), "repo")}
	var err error
	if l.store, err = storage.CreateLocal(l.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.store.Close() })
	slot := repo.Slot{Cost: seal.Cost{Memory: 64, Passes: 1, Lanes: 1}, Now: repotest.Start}
	if _, err := repo.Init(t.Context(), l.store, repotest.Secret, slot, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	return l
}

// open is what another host sees, with a cache directory of its own.
func (l *large) open(ctx context.Context, cache string) (*repo.Repository, error) {
	return repo.Open(ctx, l.store, repotest.Secret, repo.Options{Random: rand.Reader, CacheDir: cache})
}

// putFile stores the blobs of the nth file.
func putFile(ctx context.Context, w *repo.Writer, n int) (tree.Stream, error) {
	parts := make([]tree.Stream, blobsPerFile)
	data := make([]byte, blobBytes)
	random := mathrand.New(mathrand.NewPCG(uint64(n), 7))
	for i := range parts {
		binary.LittleEndian.PutUint32(data, uint32(n))
		binary.LittleEndian.PutUint32(data[4:], uint32(i))
		binary.LittleEndian.PutUint64(data[8:], random.Uint64())
		binary.LittleEndian.PutUint64(data[16:], random.Uint64())
		e, err := w.Put(ctx, repo.Fine, tree.Entry{Name: "part", Type: tree.File}, tree.Stream{}, bytes.NewReader(data))
		if err != nil {
			return tree.Stream{}, err
		}
		parts[i] = e.Content
	}
	e, err := w.Join(ctx, tree.Entry{Name: "file", Type: tree.File}, parts...)
	return e.Content, err
}

func directoryOf(files []tree.Stream) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for i, f := range files {
			if !yield(tree.Entry{Name: fmt.Sprintf("file%04d", i), Type: tree.File, Content: f, Size: f.Size()}, nil) {
				return
			}
		}
	}
}

// snapshot commits what fill returns as the environment's next one.
func snapshot(ctx context.Context, r *repo.Repository, environment string, counter int, fill func(context.Context, *repo.Writer) ([]tree.Stream, error)) (n repo.Name, err error) {
	session, err := r.Begin(ctx, repo.Create, time.Now)
	if err != nil {
		return n, err
	}
	s := &repo.Snapshot{Project: "p", Environment: environment, Created: time.Now(), Counter: uint64(counter), Consistency: repo.Live}
	err = session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		files, err := fill(ctx, w)
		if err != nil {
			return err
		}
		s.Root, err = w.PutDirectory(ctx, tree.Entry{Name: "root", Type: tree.Directory}, tree.Stream{}, directoryOf(files))
		return err
	})
	if err == nil {
		err = session.Commit(ctx, s)
	}
	if err != nil {
		return n, err
	}
	return session.Name, session.End(ctx)
}

// fill makes files, and then a snapshot with each. The blobs come first, as snapshots
// of many files, which are waste afterwards: one by one they would take hours.
func (l *large) fill(ctx context.Context, files int) error {
	r, err := l.open(ctx, "")
	if err != nil {
		return err
	}
	defer r.Close()
	l.files = make([]tree.Stream, files)
	for first := 0; first < files; first += perCarrier {
		fresh := l.files[first:min(first+perCarrier, files)]
		carrier, err := snapshot(ctx, r, "carrier", len(l.waste)+1, func(ctx context.Context, w *repo.Writer) ([]tree.Stream, error) {
			group, ctx := errgroup.WithContext(ctx)
			group.SetLimit(2)
			for i := range fresh {
				group.Go(func() (err error) {
					fresh[i], err = putFile(ctx, w, first+i)
					return err
				})
			}
			return fresh, group.Wait()
		})
		if err != nil {
			return err
		}
		l.waste = append(l.waste, carrier)
	}
	for i := range l.files {
		name, err := snapshot(ctx, r, "e", i+1, func(context.Context, *repo.Writer) ([]tree.Stream, error) {
			return l.files[max(0, i+1-window) : i+1], nil
		})
		if err != nil {
			return err
		}
		l.names = append(l.names, name)
	}
	return nil
}

// prune deletes the carriers, and of the older half of the snapshots all but every
// 24th: of each 24 files 16 go.
func (l *large) prune(ctx context.Context) error {
	r, err := l.open(ctx, "")
	if err != nil {
		return err
	}
	defer r.Close()
	gone := slices.Clone(l.waste)
	for i, n := range l.names[:len(l.names)/2] {
		if i%24 != 23 {
			gone = append(gone, n)
		}
	}
	_, err = r.MarkAll(ctx, gone, repo.Delete, time.Now())
	return err
}

// collect runs a collection in a process of its own.
func (l *large) collect(ctx context.Context, cache string) (c collected, err error) {
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "HOLDFAST_COLLECT="+l.dir, "HOLDFAST_COLLECT_CACHE="+cache)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("collect: %w", err)
	}
	return c, json.Unmarshal(out, &c)
}

// objects counts what is stored in a folder.
func (l *large) objects(folder string) (n int, bytes int64) {
	for info, err := range l.store.List(l.t.Context(), folder) {
		if err != nil {
			l.t.Fatal(err)
		}
		n++
		bytes += info.Size
	}
	return n, bytes
}

func (l *large) tell(when string) {
	packs, bytes := l.objects("packs")
	segments, indexed := l.objects("index")
	snapshots, _ := l.objects("snapshots")
	l.t.Logf("%s: %d snapshots, %d packs of %d MB, %d index segments of %d MB", when, snapshots, packs, bytes>>20, segments, indexed>>20)
}

// TestBesideWriters collects a repository of HOLDFAST_BLOBS blobs, and a thousandth
// of that in snapshots, a third of whose blobs has become garbage, while two hosts
// go on taking snapshots. It measures how long these take with and without the
// collection, and what the collection takes.
func TestBesideWriters(t *testing.T) {
	blobs, err := strconv.Atoi(os.Getenv("HOLDFAST_BLOBS"))
	if err != nil {
		blobs = 50_000
	}
	l, ctx, began := newLarge(t), t.Context(), time.Now()
	if err := l.fill(ctx, blobs/blobsPerFile); err != nil {
		t.Fatal(err)
	}
	l.tell(fmt.Sprintf("made in %v", time.Since(began).Round(time.Second)))
	if err := l.prune(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	close(ended)
	hosts := []*host{{l: l, name: "host 1", cache: t.TempDir()}, {l: l, name: "host 2", cache: t.TempDir()}}
	creates := func(when string, until <-chan struct{}, least int) {
		took, err := createsUntil(ctx, hosts, until, least)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s", when, spread(took))
	}
	creates("without a local copy", ended, 1)
	creates("alone", ended, 10)
	done := make(chan struct{})
	var c collected
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		defer close(done)
		c, err = l.collect(ctx, t.TempDir())
		return err
	})
	creates("beside the collection", done, 1)
	creates("right after it", ended, 1)
	creates("later", ended, 10)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the collection took %v, heap %d MB, resident %d MB: %d packs freed, %d MB; %d MB copied", c.Took.Round(time.Millisecond),
		c.Heap>>20, c.Resident>>20, c.Report.Freed.Packs, c.Report.Freed.Bytes>>20, c.Report.Copied>>20)
	l.tell("afterwards")
	l.mustBeWhole(hosts)
}

// mustBeWhole: nothing is wrong, and all is there that was not deleted.
func (l *large) mustBeWhole(hosts []*host) {
	began := time.Now()
	r, err := l.open(l.t.Context(), l.t.TempDir())
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	report, err := check.Run(l.t.Context(), r, check.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range report.Problems {
		l.t.Errorf("check: %v", p)
	}
	want := len(l.names) - len(l.names)/2 + len(l.names)/2/24
	for _, h := range hosts {
		want += len(h.names)
	}
	if report.Snapshots != want {
		l.t.Errorf("%d snapshots, want %d", report.Snapshots, want)
	}
	l.t.Logf("checked in %v", time.Since(began).Round(time.Millisecond))
}
