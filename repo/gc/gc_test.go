package gc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// world is a repository with some snapshots, the contents they must have, and a
// clock.
type world struct {
	store     *storagetest.Memory
	snapshots []*repo.Snapshot
	contents  []repotest.Files
	now       time.Time
}

// newWorld makes snapshots, each with deltas against the one before, and contents
// of their own.
func newWorld(t testing.TB, days int) *world {
	t.Helper()
	w := &world{store: repotest.New(t), now: repotest.Start}
	files := repotest.Files{"dump.sql": repotest.Dump(1, 5000)}
	var parent *repo.Snapshot
	for day := range days {
		next := repotest.Files{"image": repotest.Random(uint64(100+day), 200_000), "kept": repotest.Random(7, 50_000),
			"dump.sql": bytes.Replace(files["dump.sql"], fmt.Appendf(nil, "(%d,", 1000+day), fmt.Appendf(nil, "(99%d99,", day), 1)}
		parent = repotest.Put(t, repotest.Open(t, w.store), next, parent)
		w.snapshots, w.contents = append(w.snapshots, parent), append(w.contents, next)
		files = next
	}
	return w
}

func (w *world) options(grace time.Duration) gc.Options {
	return gc.Options{Now: func() time.Time { return w.now }, Grace: grace}
}

func (w *world) delete(t testing.TB, s storage.Storage, days ...int) {
	t.Helper()
	r := repotest.Open(t, s)
	for _, day := range days {
		if _, err := r.Mark(t.Context(), w.snapshots[day].Name, repo.Delete, w.now); err != nil {
			t.Fatal(err)
		}
	}
}

func collect(t testing.TB, s storage.Storage, o gc.Options) *gc.Report {
	t.Helper()
	return collectWith(t, repotest.Open(t, s), o)
}

func collectWith(t testing.TB, r *repo.Repository, o gc.Options) *gc.Report {
	t.Helper()
	report, err := gc.Run(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// mustHold: every snapshot that is not deleted is there, byte for byte, and check
// finds nothing.
func (w *world) mustHold(t testing.TB, s storage.Storage, but ...int) {
	t.Helper()
	r := repotest.Open(t, s)
	gone := map[int]bool{}
	for _, day := range but {
		gone[day] = true
	}
	for day, snapshot := range w.snapshots {
		if !gone[day] {
			repotest.MustHold(t, r, snapshot, w.contents[day])
		}
	}
	repotest.MustBeWhole(t, r)
}

func under(s *storagetest.Memory, folder string) (n int) {
	for _, name := range s.Names() {
		if strings.HasPrefix(name, folder+"/") {
			n++
		}
	}
	return n
}

func TestWhatNoSnapshotNeedsIsFreedAtOnceWithoutAGracePeriod(t *testing.T) {
	w := newWorld(t, 4)
	w.delete(t, w.store, 0, 1, 2)
	before := w.store.Size()
	report := collect(t, w.store, w.options(0))
	w.mustHold(t, w.store, 0, 1, 2)
	if after := w.store.Size(); after > before-2*200_000 || report.Freed.Bytes < 3*200_000 || len(report.Purged) != 3 {
		t.Errorf("%d bytes before, %d after; %+v", before, after, report)
	}
	if len(report.Pending) != 0 || under(w.store, "sessions") != 0 || under(w.store, "trash") != 0 || under(w.store, "condemned") != 1 || under(w.store, "snapshots") != 1 {
		t.Errorf("left behind: %+v, %q", report, w.store.Names())
	}
	// Only the last one is left, and nothing has vanished; the next one goes on from it.
	if again := collect(t, w.store, w.options(0)); again.Freed.Packs+again.Condemned.Packs > 0 {
		t.Errorf("the second collection finds more: %+v", again)
	}
	next := repotest.Put(t, repotest.Open(t, w.store), w.contents[3], w.snapshots[3])
	repotest.MustHold(t, repotest.Open(t, w.store), next, w.contents[3])
}

func TestTheGracePeriodPassesTwice(t *testing.T) {
	w := newWorld(t, 2)
	day := 24 * time.Hour
	w.delete(t, w.store, 0)
	r := collect(t, w.store, w.options(day))
	if len(r.Purged) > 0 || r.Condemned.Packs > 0 || r.Deleted != (gc.Deleted{Snapshots: 1, Due: w.now.Add(day)}) {
		t.Errorf("at once: %+v", r)
	}
	w.now = w.now.Add(day)
	r = collect(t, w.store, w.options(day))
	if len(r.Purged) != 1 || r.Deleted.Snapshots > 0 || r.Condemned.Packs == 0 || r.Freed.Packs > 0 || len(r.Pending) != 1 || !r.Pending[0].Due.Equal(w.now.Add(day)) {
		t.Errorf("a day later: %+v", r)
	}
	if p := r.Pending[0].Removal; p != r.Condemned || p.Gain > p.Bytes {
		t.Errorf("%+v is condemned, and %+v is to go", r.Condemned, p)
	}
	w.mustHold(t, w.store, 0)
	w.now = w.now.Add(day)
	stored := r.Stored
	if dry := collect(t, w.store, gc.Options{Now: w.options(0).Now, Grace: day, DryRun: true}); dry.Freed.Packs == 0 || dry.Freed != r.Condemned {
		t.Errorf("a dry run: %+v", dry)
	}
	size := w.store.Size()
	if r := collect(t, w.store, w.options(day)); r.Freed.Packs == 0 || len(r.Pending) > 0 || w.store.Size() > size-200_000 {
		t.Errorf("two days later: %+v", r)
	} else if r.Copied > 0 || r.Stored.Bytes != stored.Bytes-r.Freed.Bytes || r.Stored.Packs != stored.Packs-r.Freed.Packs {
		t.Errorf("of %+v packs %+v are said to be freed, and %+v to be left", stored, r.Freed, r.Stored)
	}
	w.mustHold(t, w.store, 0)
}

func TestAPurgedSnapshotCannotBeBroughtBack(t *testing.T) {
	w := newWorld(t, 2)
	w.delete(t, w.store, 0)
	w.now = w.now.Add(24 * time.Hour)
	collect(t, w.store, w.options(24*time.Hour))
	r := repotest.Open(t, w.store)
	if _, err := r.Mark(t.Context(), w.snapshots[0].Name, repo.Undelete, w.now); err == nil || !strings.Contains(err.Error(), "brought back") {
		t.Errorf("undelete: %v", err)
	}
	if all, err := r.Snapshots(t.Context()); len(all) != 1 || err != nil {
		t.Errorf("%d snapshots, %v", len(all), err)
	}
}

func TestManySmallSnapshotsBecomeFewObjects(t *testing.T) {
	w := &world{store: repotest.New(t), now: repotest.Start}
	var parent *repo.Snapshot
	for hour := range 60 {
		files := repotest.Files{"a": fmt.Appendf(nil, "hour %d", hour), "b": repotest.Random(uint64(hour), 1000)}
		parent = repotest.Put(t, repotest.Open(t, w.store), files, parent)
		w.snapshots, w.contents = append(w.snapshots, parent), append(w.contents, files)
	}
	if under(w.store, "packs") < 60 || under(w.store, "index") < 60 {
		t.Fatal("they are few already")
	}
	report := collect(t, w.store, w.options(0))
	w.mustHold(t, w.store)
	if packs, segments := under(w.store, "packs"), under(w.store, "index"); packs > 4 || segments > 4 {
		t.Errorf("%d packs, %d segments; %+v", packs, segments, report)
	}
}

func TestSomethingMissingStopsIt(t *testing.T) {
	w := newWorld(t, 3)
	w.delete(t, w.store, 0)
	for _, name := range w.store.Names() {
		if !strings.HasPrefix(name, "packs/") && !strings.HasPrefix(name, "index/") && !strings.HasPrefix(name, "snapshots/") {
			continue
		}
		for _, damage := range []string{"missing", "flipped"} {
			state := w.store.Clone()
			if damage == "missing" {
				_ = state.Delete(context.Background(), name)
			} else {
				data, _ := state.Object(name)
				data[len(data)/2] ^= 1
				state.Replace(name, data)
			}
			before := state.Clone()
			_, err := gc.Run(t.Context(), repotest.Open(t, state), w.options(0))
			if err == nil {
				continue // what was damaged is not needed; the walk below proves it
			}
			for _, object := range before.Names() {
				if _, there := state.Object(object); !there && strings.HasPrefix(object, "packs/") {
					t.Errorf("%s %s: %s was deleted though %v", name, damage, object, err)
				}
			}
		}
	}
}

func TestAVanishedSnapshotStopsIt(t *testing.T) {
	w := newWorld(t, 3)
	if err := w.store.Delete(t.Context(), "snapshots/"+w.snapshots[1].Name.String()); err != nil {
		t.Fatal(err)
	}
	packs := under(w.store, "packs")
	if _, err := gc.Run(t.Context(), repotest.Open(t, w.store), w.options(0)); !errors.Is(err, gc.ErrVanished) || under(w.store, "packs") != packs {
		t.Errorf("%v, and %d packs of %d", err, under(w.store, "packs"), packs)
	}
	o := w.options(0)
	o.AcceptLoss = true
	want := []gc.Accepted{{Snapshot: w.snapshots[1].Name, Project: "p", Environment: "e", Number: 2}}
	for _, o.DryRun = range []bool{true, false} {
		if report := collect(t, w.store, o); !slices.Equal(report.Accepted, want) {
			t.Errorf("dry run %v: accepted %v, want %v", o.DryRun, report.Accepted, want)
		}
	}
	for _, day := range []int{0, 2} {
		repotest.MustHold(t, repotest.Open(t, w.store), w.snapshots[day], w.contents[day])
	}
	// From then on nothing is missing.
	repotest.MustBeWhole(t, repotest.Open(t, w.store))
	collect(t, w.store, w.options(0))
}

func TestAStorageThatOverwritesIsRefused(t *testing.T) {
	w := newWorld(t, 1)
	before := len(w.store.Names())
	_, err := gc.Run(t.Context(), repotest.Open(t, overwriting{w.store}), w.options(0))
	if err == nil || !strings.Contains(err.Error(), "replaces objects") || len(w.store.Names()) != before {
		t.Errorf("%v", err)
	}
}

// overwriting is a storage without the promise that everything rests upon.
type overwriting struct{ *storagetest.Memory }

func (o overwriting) Put(_ context.Context, name string, data []byte) error {
	o.Replace(name, data)
	return nil
}

// TestADryRunWritesNothing, so that it serves where one may only read.
func TestADryRunWritesNothing(t *testing.T) {
	w := newWorld(t, 3)
	w.delete(t, w.store, 0, 1)
	store := storagetest.NewFaulty(w.store)
	refused := store.Inject(storagetest.Fault{Ops: storagetest.Put | storagetest.Delete, Effect: storagetest.Fail(fs.ErrPermission)})
	o := w.options(0)
	o.DryRun = true
	report := collect(t, store, o)
	if refused.Hits() > 0 || len(report.Purged) != 2 || report.Condemned.Packs == 0 {
		t.Errorf("%d changes were tried; %+v", refused.Hits(), report)
	}
}
