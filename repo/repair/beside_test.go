package repair_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/gc"
	"holdfast/repo/pack"
	"holdfast/repo/repair"
)

// TestASnapshotThatComesMeanwhile is taken when the index has been read, and before the
// snapshots are looked at: it has lost nothing.
func TestASnapshotThatComesMeanwhile(t *testing.T) {
	for _, dry := range []bool{true, false} {
		w := newWorld(t)
		faulty := storagetest.NewFaulty(w.store)
		packs := 0
		faulty.Inject(storagetest.Fault{Ops: storagetest.ReadAt, Names: storagetest.Under("packs"), Nth: 3,
			Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
				if packs++; packs == 1 {
					w.take(t, w.store, site{db: text(77, 9000), uploads: map[string]map[string][]byte{"new": {"x": text(78, 9000)}}})
				}
				return do()
			}})
		report, err := repair.Run(t.Context(), open(t, faulty), repair.Options{DryRun: dry, Now: now,
			Divisible: func(engine string) bool { return engine == "files" }, Progress: func(int64) {}})
		if err != nil || len(report.Lost) > 0 || len(w.snapshots) != 4 {
			t.Errorf("dry run %v: %d snapshots, lost %+v, %v", dry, len(w.snapshots), report.Lost, err)
		}
		if lost := mustBeMended(t, w, w.store); lost > 0 {
			t.Errorf("dry run %v: %d files are lost", dry, lost)
		}
	}
}

// TestACondemnedPackThatIsNeeded: until a list says that a group is swept its packs
// are there, and serve where the copies that were made of them are lost. One that is
// missing is lost, too: whenever check says so, repair does.
func TestACondemnedPackThatIsNeeded(t *testing.T) {
	const tries = 20 // where what is needed lies is drawn; in most draws some is in condemned packs
	for range tries {
		w := newWorld(t)
		loseCondemned(t, &w)
		report, err := check.Run(t.Context(), open(t, w.store), check.Options{})
		if err != nil {
			t.Fatal(err)
		}
		hurt := slices.ContainsFunc(report.Problems, func(p *check.Problem) bool { return len(p.Snapshots) > 0 })
		repaired, _ := mend(t, w.store)
		if lost := len(repaired.Lost) > 0; lost != hurt {
			t.Errorf("check says that snapshots are hurt: %v; repair says %+v", hurt, repaired)
		}
		if found, _ := checked(t, w.store); len(found) > 0 {
			t.Errorf("after a repair check names %q", found)
		}
		if hurt {
			return
		}
	}
	t.Errorf("in %d draws nothing that is needed was in condemned packs", tries)
}

// loseCondemned collects what two deleted snapshots leave, and loses the copies and then
// what they were made of. A repair in between would have kept it.
func loseCondemned(t *testing.T, w *world) {
	t.Helper()
	r := open(t, w.store)
	for _, s := range w.snapshots[:2] {
		if _, err := r.Mark(t.Context(), s.Name, repo.Delete, now()); err != nil {
			t.Fatal(err)
		}
	}
	old, err := r.StoredPacks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return start.Add(48 * time.Hour) }
	if _, err := gc.Run(t.Context(), r, gc.Options{Now: later, Grace: 24 * time.Hour, MaxRepack: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	list, err := open(t, w.store).Condemned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	condemned := list.Packs()
	lose := func(from *storagetest.Memory, which func(name [32]byte) bool) {
		for _, object := range from.Names() {
			if name, err := pack.ParseObjectName(object); err == nil && which(name) {
				_ = from.Delete(t.Context(), object)
			}
		}
	}
	lose(w.store, func(name [32]byte) bool { _, isOld := old[name]; return !isOld })
	between := w.store.Clone()
	for range 2 {
		if report, _ := mend(t, between); len(report.Lost) > 0 {
			t.Errorf("condemned packs do not serve: lost %+v", report.Lost)
		}
		lose(between, func(name [32]byte) bool { return condemned[name] })
	}
	lose(w.store, func(name [32]byte) bool { return condemned[name] })
}

// TestParityThatGoesMeanwhile: a collection removes the groups of what it removes, and
// covers anew what was beside that, while a repair or a check looks at them.
func TestParityThatGoesMeanwhile(t *testing.T) {
	w := withParity(t, 20)
	for _, test := range []struct {
		name string
		do   func(storage.Storage) (any, error)
	}{
		{"repair", func(s storage.Storage) (any, error) { return repair.Run(t.Context(), open(t, s), options()) }},
		{"foretold", func(s storage.Storage) (any, error) {
			o := options()
			o.DryRun = true
			return repair.Run(t.Context(), open(t, s), o)
		}},
		{"what opens it", func(s storage.Storage) (any, error) { return repair.Locked(t.Context(), s, false) }},
		{"check", func(s storage.Storage) (any, error) {
			return check.Run(t.Context(), open(t, s), check.Options{ReadData: true})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := w.store.Clone()
			faulty := storagetest.NewFaulty(state)
			gone := map[string]bool{}
			faulty.Inject(storagetest.Fault{Ops: storagetest.Stat, Names: storagetest.Under("parity/groups"),
				Effect: func(_ context.Context, call *storagetest.Call, do func() error) error {
					if gone[call.Name] {
						return do()
					}
					gone[call.Name] = true
					if err := state.Delete(t.Context(), call.Name); err != nil {
						return err
					}
					err := do()
					if _, covering := open(t, state).UpdateParity(t.Context(), nil); covering != nil {
						t.Error(covering)
					}
					return err
				}})
			report, err := test.do(faulty)
			if err != nil || len(gone) == 0 {
				t.Fatalf("%d groups went; %v", len(gone), err)
			}
			if r, ok := report.(*repair.Report); ok && !r.Nothing() {
				t.Errorf("there was nothing to do: %+v", r)
			}
			if r, ok := report.(*check.Report); ok && len(r.Problems) > 0 {
				t.Errorf("nothing was wrong: %v", r.Problems)
			}
			mustBeAsBefore(t, w.store, state)
		})
	}
}
