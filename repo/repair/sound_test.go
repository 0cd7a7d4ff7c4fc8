package repair_test

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/soak"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/pack"
	"holdfast/repo/repair"
	"holdfast/repo/repotest"
)

// condemning deletes the first of two snapshots and collects: what is needed of its pack,
// which is condemned, lies twice from then on.
func condemning(t *testing.T) world {
	t.Helper()
	w := world{store: repotest.New(t)}
	day := site{db: text(1, 2000), uploads: map[string]map[string][]byte{"kept": {"a": text(2, 2000)}, "gone": {"b": text(3, 9000)}}}
	w.take(t, w.store, day)
	day.uploads = map[string]map[string][]byte{"kept": day.uploads["kept"]}
	w.take(t, w.store, day)
	r := open(t, w.store)
	if _, err := r.Mark(t.Context(), w.snapshots[0].Name, repo.Delete, now()); err != nil {
		t.Fatal(err)
	}
	if report, err := gc.Run(t.Context(), r, collecting(48)); err != nil || report.Copied == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	return world{store: w.store, snapshots: w.snapshots[1:], sites: w.sites[1:]}
}

// TestADifferenceThatIsLostBesideCondemnedPacks: what a condemned pack has in common with
// another one cannot be saved where it is a difference from what is lost, and hinders nothing.
func TestADifferenceThatIsLostBesideCondemnedPacks(t *testing.T) {
	w := world{store: repotest.New(t)}
	day := site{db: text(1, 2000)}
	w.take(t, w.store, day)
	day.db = slices.Concat(text(1, 1000), text(4, 20), text(1, 2000)[1000:])
	day.uploads = map[string]map[string][]byte{"gone": {"b": text(3, 9000)}}
	w.take(t, w.store, day)
	day.uploads = nil
	w.take(t, w.store, day)
	r := open(t, w.store)
	if _, err := r.Mark(t.Context(), w.snapshots[1].Name, repo.Delete, now()); err != nil {
		t.Fatal(err)
	}
	if report, err := gc.Run(t.Context(), r, collecting(48)); err != nil || report.Copied == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	w.snapshots, w.sites = slices.Delete(w.snapshots, 1, 2), slices.Delete(w.sites, 1, 2)
	for _, object := range w.store.Names() {
		if !strings.HasPrefix(object, "packs/") {
			continue
		}
		for _, d := range damages {
			t.Run(d.name+" "+object, func(t *testing.T) {
				state := w.store.Clone()
				d.to(state, object)
				dry := options()
				dry.DryRun = true
				said, did := mustRepair(t, state, dry), mustRepair(t, state, options())
				if len(said.Lost) != len(did.Lost) {
					t.Errorf("a dry run says %+v, the repair did %+v", said.Lost, did.Lost)
				}
				if lost := mustBeMended(t, w, state); (lost > 0) != (len(did.Lost) > 0) {
					t.Errorf("%d files are lost, of %d snapshots that the repair names", lost, len(did.Lost))
				}
			})
		}
	}
}

func collecting(hours time.Duration) gc.Options {
	return gc.Options{Now: func() time.Time { return start.Add(hours * time.Hour) }, Grace: 24 * time.Hour, MaxRepack: 1 << 40}
}

// TestADamagedPackBesideDeletedOnes: the index goes on naming packs that a collection has
// deleted where there was no room to write it. What they had serves nobody, so that
// everything else of a damaged pack is saved.
func TestADamagedPackBesideDeletedOnes(t *testing.T) {
	w := condemning(t)
	full := storagetest.NewFaulty(w.store)
	full.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("index"), Effect: storagetest.Full()})
	if report, err := gc.Run(t.Context(), open(t, full), collecting(96)); err != nil || report.Freed.Packs == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	room := w.store.Clone()
	if _, err := gc.Run(t.Context(), open(t, room), collecting(97)); err != nil {
		t.Fatal(err)
	}
	for _, object := range w.store.Names() {
		if !strings.HasPrefix(object, "packs/") {
			continue
		}
		for _, d := range damages {
			t.Run(d.name+" "+object, func(t *testing.T) {
				lost := map[*storagetest.Memory]int{}
				for _, of := range []*storagetest.Memory{room, w.store} {
					state := of.Clone()
					d.to(state, object)
					dry := options()
					dry.DryRun = true
					said := mustRepair(t, state, dry)
					did := mustRepair(t, state, options())
					if len(said.Lost) != len(did.Lost) {
						t.Errorf("a dry run says %+v, the repair did %+v", said, did)
					}
					lost[of] = mustBeMended(t, w, state)
				}
				if lost[w.store] != lost[room] {
					t.Errorf("%d files are lost, and %d where the index was written", lost[w.store], lost[room])
				}
			})
		}
	}
}

// TestADamagedPackBesideCondemnedOnes: a collection that was killed anywhere has decided to
// delete packs because what is needed of them lies in another one. Where no blob of that
// is damaged, nothing is lost when a repair comes before the collection goes on.
func TestADamagedPackBesideCondemnedOnes(t *testing.T) {
	w := condemning(t)
	recorder := storagetest.NewRecorder(t, w.store.Clone())
	if _, err := gc.Run(t.Context(), open(t, recorder), collecting(96)); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, killed := range recorder.Prefixes() {
		for _, object := range killed.Names() {
			if !strings.HasPrefix(object, "packs/") {
				continue
			}
			cases++
			state := killed.Clone()
			data, _ := state.Object(object)
			state.Replace(object, append(data, 0))
			mustRepair(t, state, options())
			if _, err := gc.Run(t.Context(), open(t, state), collecting(97)); err != nil {
				t.Fatal(err)
			}
			if lost := mustBeMended(t, w, state); lost > 0 || t.Failed() {
				t.Fatalf("case %d: %d files are lost", cases, lost)
			}
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}

// TestALostBlobBesideSweptPacks: its last copy may lie in a pack that a collection which
// was killed is about to delete. What a repair does not name as lost is there when the
// collection has gone on.
func TestALostBlobBesideSweptPacks(t *testing.T) {
	w := condemning(t)
	recorder := storagetest.NewRecorder(t, w.store.Clone())
	if _, err := gc.Run(t.Context(), open(t, recorder), collecting(96)); err != nil {
		t.Fatal(err)
	}
	cases, rescued := 0, 0
	for _, killed := range recorder.Prefixes() {
		list, err := open(t, killed).Condemned(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range killed.Names() {
			name, err := pack.ParseObjectName(object)
			if err != nil || list.Packs()[name] {
				continue
			}
			for _, d := range damages {
				cases++
				state := killed.Clone()
				d.to(state, object)
				said := len(mustRepair(t, state, options()).Lost)
				mustRepair(t, state, options())
				if _, err := gc.Run(t.Context(), open(t, state), collecting(97)); err != nil {
					t.Fatalf("case %d: %s %s: %v", cases, d.name, object, err)
				}
				if lost := mustBeMended(t, w, state); (lost > 0) != (said > 0) || t.Failed() {
					t.Fatalf("case %d: %d files are lost, of %d snapshots that the repair names", cases, lost, said)
				}
				if said == 0 && len(list.Swept()) > 0 {
					rescued++
				}
			}
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
	if rescued == 0 {
		t.Error("there was nothing to be saved from packs that were to be deleted")
	}
}

// TestADamagedPackBesideADeeperCopy: two hosts store the same content at the same time,
// one of them whole and the other as a difference. What is a difference from the whole
// copy cannot do with the other one.
func TestADamagedPackBesideADeeperCopy(t *testing.T) {
	store := repotest.New(t)
	content := func(version int) repotest.Files {
		dump := repotest.Dump(1, 300)
		copy(dump[4000:], fmt.Sprintf("version %d", version))
		return repotest.Files{"dump": dump}
	}
	first := repotest.Put(t, repotest.Open(t, store), content(0), nil)
	one, other := repotest.Open(t, store), repotest.Open(t, store)
	beside, err := repotest.Begin(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]bool{}
	for _, object := range store.Names() {
		before[object] = true
	}
	whole := repotest.Put(t, one, content(1), nil)
	var damaged []string
	for _, object := range store.Names() {
		if strings.HasPrefix(object, "packs/") && !before[object] {
			damaged = append(damaged, object)
		}
	}
	deeper, err := beside.Write(t.Context(), content(1), first)
	if err == nil {
		err = errors.Join(beside.Commit(t.Context(), deeper), beside.End(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	last := repotest.Put(t, repotest.Open(t, store), content(2), whole)
	for _, object := range damaged {
		data, _ := store.Object(object)
		store.Replace(object, append(data, 0))
	}
	mustRepair(t, store, options())
	r := repotest.Open(t, store)
	for version, s := range map[int]*repo.Snapshot{0: first, 1: whole, 2: last} {
		repotest.MustHold(t, r, s, content(version))
	}
	repotest.MustHold(t, r, deeper, content(1))
}

// TestARepairAndACollectionBesideEachOther: all of one comes between two calls of the
// other. Where no blob is damaged nothing is lost.
func TestARepairAndACollectionBesideEachOther(t *testing.T) {
	w := condemning(t)
	repairing := func(s storage.Storage) error {
		_, err := repair.Run(t.Context(), open(t, s), options())
		return err
	}
	collects := func(s storage.Storage) error {
		_, err := gc.Run(t.Context(), open(t, s), collecting(96))
		return err
	}
	step, cases := 1, 0
	if !soak.On(t) {
		step = 31
	}
	for name, order := range map[string][2]func(storage.Storage) error{
		"a collection within a repair": {repairing, collects},
		"a repair within a collection": {collects, repairing},
	} {
		for _, object := range w.store.Names() {
			if !strings.HasPrefix(object, "packs/") {
				continue
			}
			for n, reached := 1+mathrand.IntN(step), true; reached; n += step {
				cases++
				state := w.store.Clone()
				data, _ := state.Object(object)
				state.Replace(object, append(data, 0))
				faulty := storagetest.NewFaulty(state)
				rule := faulty.Inject(storagetest.Fault{Nth: n, Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
					if err := order[1](state); err != nil {
						t.Logf("within: %v", err)
					}
					return do()
				}})
				if err := order[0](faulty); err != nil {
					t.Logf("%s, before call %d: %v", name, n, err)
				}
				reached = rule.Hits() > 0
				mustRepair(t, state, options())
				if _, err := gc.Run(t.Context(), open(t, state), collecting(97)); err != nil {
					t.Error(err)
				}
				if lost := mustBeMended(t, w, state); lost > 0 || t.Failed() {
					t.Fatalf("%s, before call %d, %s damaged: %d files are lost", name, n, object, lost)
				}
			}
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}
