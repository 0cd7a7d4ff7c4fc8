package snapshot

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/repo"
)

// TestEveryServiceThatCannotBeSavedIsNamed: whoever mends one should not learn of the next
// by another attempt.
func TestEveryServiceThatCannotBeSavedIsNamed(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	for _, name := range []string{"orders", "settings"} {
		w.must(os.Rename(w.path("master", name+".db"), w.path("master", name+".gone")))
	}
	session, err := w.begin(t.Context())
	w.must(err)
	c := w.creation("master")
	_, err = c.Create(t.Context(), session)
	for _, name := range []string{"orders: ", "settings: "} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+name) {
			t.Errorf("%q is not named: %v", name, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "uploads") {
		t.Errorf("nothing is wrong with the mount: %v", err)
	}
	w.must(session.End(t.Context()))
}

// TestASafetySnapshotOfAPartSaysSo, also where the restore died before it was sent.
func TestASafetySnapshotOfAPartSaysSo(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	if s.Partial() != nil {
		t.Errorf("the whole is of the part %+v", s.Partial())
	}
	for _, killed := range []bool{false, true} {
		w.fill("master", "day1")
		session, err := w.begin(t.Context())
		w.must(err)
		r := &Restoration{Creation: w.creation("master"), Snapshot: s, Place: PlaceOf(w.dir, "shop", "master"), Safety: true,
			Named: true, Subpath: "day1/file1"}
		r.Parts = slices.DeleteFunc(r.Parts, func(p Part) bool { return p.Name != "uploads" })
		unlock, err := r.Place.Lock()
		w.must(err)
		plan, err := r.Plan(t.Context(), session.Name.String())
		w.must(err)
		if p := plan[0]; p.Name != "uploads" || p.Subpath != "day1/file1" || p.Entries != 1 || p.Bytes != 8000 {
			t.Errorf("the plan is %+v", p)
		}
		if killed {
			r.step = func(step string) error {
				if step == "safety snapshot" {
					return errStopped
				}
				return nil
			}
		}
		_, err = r.Restore(t.Context(), session)
		r.Close()
		unlock()
		if killed != errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		recovered := &Restoration{Creation: w.creation("master"), Place: r.Place}
		_, err = recovered.Recover(t.Context(), w.begin)
		w.must(err)
		all, err := w.repo.Snapshots(t.Context())
		w.must(err)
		if part := all[len(all)-1].Partial(); part == nil || part.Name != "uploads" || part.Subpath != "day1/file1" {
			t.Errorf("killed %v: the safety snapshot is of the part %+v", killed, part)
		}
	}
	w.mustBeWhole()
}

func TestMissingIsWhatLiesInTheRestoredPart(t *testing.T) {
	loss := func(path string) repo.Loss { return repo.Loss{Path: path, Reason: "unreadable"} }
	s := &repo.Snapshot{Services: []repo.Service{
		{Name: "orders", Losses: []repo.Loss{loss("orders/history")}},
		{Name: "uploads", Losses: []repo.Loss{loss("uploads/a"), loss("uploads/a/b"), loss("uploads/ab"), loss("uploads/c")}},
	}}
	for _, c := range []struct {
		service, subpath string
		want             int
	}{{"orders", "", 1}, {"uploads", "", 4}, {"uploads", "a", 2}, {"uploads", "a/b", 1}, {"uploads", "a/b/c", 0}, {"other", "", 0}} {
		if got := Missing(s, c.service, c.subpath); len(got) != c.want {
			t.Errorf("%s/%s: %v, want %d", c.service, c.subpath, got, c.want)
		}
	}
	if len(s.Losses()) != 5 {
		t.Errorf("the snapshot itself has changed: %v", s.Losses())
	}
}
