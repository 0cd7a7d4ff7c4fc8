package repair_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/seal"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repair"
)

// recorded is a world with a record of every kind, without parity of any.
func recorded(t *testing.T) (w world, colleague repo.Secret) {
	t.Helper()
	w = newWorld(t)
	colleague = repo.Secret{Password: []byte("of a colleague")}
	r := open(t, w.store)
	mark := func(i int, action repo.Action) {
		if _, err := r.Mark(t.Context(), w.snapshots[i].Name, action, now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.AddKey(t.Context(), colleague, repo.Slot{Cost: cheap, Now: start}); err != nil {
		t.Fatal(err)
	}
	mark(0, repo.Pin)
	mark(0, repo.Unpin)
	mark(1, repo.Delete)
	if _, err := r.RecordDamage(t.Context(), w.snapshots[2].Name, repo.Damage{At: start, Root: w.snapshots[2].Root,
		Lost: []repo.Loss{{Path: "uploads/x", Reason: "for the test"}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.SetParity(t.Context(), 7, now()); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(t.Context(), &repo.Condemned{Number: 1, At: start}); err != nil {
		t.Fatal(err)
	}
	return w, colleague
}

// TestEachRecordInEachWay damages every object that is no pack and no segment, in
// every way. None keeps the repository from being used after a repair, but for
// config; what cannot be known any more is taken for what loses least.
func TestEachRecordInEachWay(t *testing.T) {
	w, colleague := recorded(t)
	cases := 0
	for _, object := range w.store.Names() {
		kind, _, _ := strings.Cut(object, "/")
		if kind == "packs" || kind == "index" {
			continue
		}
		for _, d := range damages {
			if d.apply == nil && kind != "keys" && kind != "config" {
				continue // a record that vanished was never there; a snapshot is missed by its number
			}
			cases++
			t.Run(d.name+" "+object, func(t *testing.T) {
				state := w.store.Clone()
				d.to(state, object)
				r, err := openAny(t, state, secret, colleague)
				if kind == "config" {
					if err == nil || !errors.Is(err, repo.ErrNoRepository) && !strings.Contains(err.Error(), "config") {
						t.Errorf("config: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				mustList(t, w, r, object)
				o := options()
				o.GiveUp = true
				o.DryRun = true
				if report, err := repair.Run(t.Context(), r, o); err != nil || kind != "keys" && len(report.SetAside) == 0 || len(report.Unread) > 0 {
					t.Errorf("foretold: %+v, %v", report, err)
				}
				o.DryRun = false
				report, err := repair.Run(t.Context(), r, o)
				if err != nil {
					t.Fatal(err)
				}
				if kind != "keys" && !setAside(state, object) {
					t.Errorf("it is not set aside: %+v", report)
				}
				if r, err = openAny(t, state, secret, colleague); err != nil {
					t.Fatal(err)
				}
				mustServe(t, w, r, object)
			})
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}

// mustList: before any repair the other snapshots are listed, and so can be
// restored; and what is damaged is named.
func mustList(t *testing.T, w world, r *repo.Repository, damaged string) {
	t.Helper()
	kind, _, _ := strings.Cut(damaged, "/")
	if !slices.Contains([]string{"condemned", "damaged", "pins", "snapshots", "trash"}, kind) {
		return
	}
	want := len(w.snapshots)
	if kind == "snapshots" {
		want--
	}
	all, err := r.Snapshots(t.Context())
	if len(all) != want || err == nil || !strings.Contains(err.Error(), damaged) {
		t.Errorf("before the repair: %d snapshots, want %d, with %v", len(all), want, err)
	}
}

func setAside(s *storagetest.Memory, object string) bool {
	is, _ := s.Object(object)
	was, aside := s.Object("aside/" + object)
	return aside && (is == nil || !bytes.Equal(is, was)) // its number may be in use again
}

func openAny(t *testing.T, s *storagetest.Memory, secrets ...repo.Secret) (r *repo.Repository, err error) {
	for _, secret := range secrets {
		if r, err = repo.Open(t.Context(), s, secret, repo.Options{Random: rand.Reader}); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// mustServe: all snapshots but a damaged one are listed, with marks that lose
// nothing, and read.
func mustServe(t *testing.T, w world, r *repo.Repository, damaged string) {
	t.Helper()
	all, err := r.Snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := len(w.snapshots)
	if strings.HasPrefix(damaged, "snapshots/") {
		want--
	}
	if len(all) != want {
		t.Errorf("%d snapshots are listed, want %d", len(all), want)
	}
	for _, s := range all {
		for i, taken := range w.snapshots {
			if taken.Name == s.Name && damaged != "snapshots/"+s.Name.String() {
				restored(t, r, s.Snapshot, w.sites[i])
			}
		}
		if strings.HasPrefix(damaged, "pins/"+s.Name.String()+"/00000002") && !s.Pinned {
			t.Error("whether it is pinned is unknown, and it is not taken for pinned")
		}
		if strings.HasPrefix(damaged, "trash/"+s.Name.String()) && !s.Deleted.IsZero() {
			t.Error("whether it is deleted is unknown, and it is taken for deleted")
		}
		if s.Damage != nil {
			t.Error("a repair has found it whole, and it is called damaged")
		}
	}
	if _, err := r.Keys(t.Context()); err != nil {
		t.Errorf("keys: %v", err)
	}
	if percent, err := r.Parity(t.Context()); err != nil || percent != 7 && percent != 5 {
		t.Errorf("parity: %d, %v", percent, err)
	}
}

// TestARecordOfAnEpoch that is damaged is put anew: its number stays taken.
func TestARecordOfAnEpoch(t *testing.T) {
	w := newWorld(t)
	if _, err := open(t, w.store).RotateKeys(t.Context(), secret, cheap, start); err != nil {
		t.Fatal(err)
	}
	for _, d := range damages[1:] {
		state := w.store.Clone()
		d.to(state, "epochs/00000002")
		report := mustRepair(t, state, options())
		if len(report.SetAside) != 1 {
			t.Errorf("%s: %+v", d.name, report)
		}
		if lost := mustBeMended(t, w, state); lost > 0 {
			t.Errorf("%s: %d files are lost", d.name, lost)
		}
		if _, there := state.Object("epochs/00000002"); !there {
			t.Errorf("%s: the number is free", d.name)
		}
	}
}

// TestARepairByAKeyFromBeforeARotation changes nothing: what it cannot open it would take
// for damaged, and parity mends it for somebody who has the new keys.
func TestARepairByAKeyFromBeforeARotation(t *testing.T) {
	w := withParity(t, 100)
	stale := open(t, w.store)
	other := repo.Secret{Password: []byte("of a colleague")}
	if _, err := stale.AddKey(t.Context(), other, repo.Slot{Cost: cheap, Now: start}); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, w.store).RotateKeys(t.Context(), other, cheap, start); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), w.store, other, repo.Options{Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Mark(t.Context(), w.snapshots[0].Name, repo.Pin, now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateParity(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range damages {
		state := w.store.Clone()
		d.to(state, "pins/"+w.snapshots[0].Name.String()+"/00000001")
		before := state.Clone()
		var epoch *seal.EpochError
		if _, err := repair.Run(t.Context(), open(t, state), options()); !errors.As(err, &epoch) {
			t.Errorf("%s: %v", d.name, err)
		}
		mustBeAsBefore(t, before, state)
		if len(before.Names()) != len(state.Names()) {
			t.Errorf("%s: %d objects became %d", d.name, len(before.Names()), len(state.Names()))
		}
	}
}
