package repair_test

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/soak"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/pack"
	"holdfast/repo/repair"
)

// withParity is a world whose repository has parity.
func withParity(t *testing.T, percent int) world {
	t.Helper()
	w := newWorld(t)
	cover(t, w.store, percent)
	return w
}

func cover(t *testing.T, s *storagetest.Memory, percent int) repo.Covered {
	t.Helper()
	r := open(t, s)
	if err := r.SetParity(t.Context(), percent, now()); err != nil {
		t.Fatal(err)
	}
	covered, err := r.UpdateParity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return covered
}

// mend is what the command does: what opens the repository first.
func mend(t *testing.T, s *storagetest.Memory) (*repair.Report, []repair.Mended) {
	t.Helper()
	opened, err := repair.Locked(t.Context(), s, false)
	if err != nil {
		t.Fatal(err)
	}
	return mustRepair(t, s, options()), opened.Mended
}

// mustBeAsBefore compares all that parity covers, byte for byte.
func mustBeAsBefore(t *testing.T, before, after *storagetest.Memory) {
	t.Helper()
	for _, object := range before.Names() {
		if strings.HasPrefix(object, "parity/groups/") {
			continue
		}
		want, _ := before.Object(object)
		if got, ok := after.Object(object); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s is not as it was", object)
		}
	}
	for _, object := range after.Names() {
		if _, ok := before.Object(object); !ok && !strings.HasPrefix(object, "parity/groups/") {
			t.Errorf("%s is left behind", object)
		}
	}
}

// TestEachObjectComesBackByParity damages every object in every way, config, keys
// and the parity itself among them.
func TestEachObjectComesBackByParity(t *testing.T) {
	w := withParity(t, 100)
	r := open(t, w.store)
	if _, err := r.Mark(t.Context(), w.snapshots[0].Name, repo.Pin, now()); err != nil {
		t.Fatal(err)
	}
	covered := cover(t, w.store, 100)
	if covered.Uncovered > 0 || covered.Objects < 15 {
		t.Fatalf("covered: %+v", covered)
	}
	cases, kinds := 0, map[string]bool{}
	for _, object := range w.store.Names() {
		kind, _, _ := strings.Cut(object, "/")
		kinds[kind] = true
		for _, d := range damages {
			cases++
			t.Run(d.name+" "+object, func(t *testing.T) {
				state := w.store.Clone()
				d.to(state, object)
				var said *repair.Report
				if object != "config" && !strings.HasPrefix(object, "keys/") {
					dry := options()
					dry.DryRun = true
					said = mustRepair(t, state, dry)
				}
				report, opened := mend(t, state)
				if said != nil && (len(said.Mended) != len(report.Mended) || len(said.Lost)+len(said.SetAside)+len(said.Unread) > 0) {
					t.Errorf("the dry run says %+v, the repair did %+v", said, report)
				}
				mustBeAsBefore(t, w.store, state)
				if strings.HasPrefix(object, "parity/groups/") {
					status, err := open(t, state).ParityStatus(t.Context())
					if err != nil || status.Uncovered > 0 || len(status.Damaged) > 0 {
						t.Errorf("parity afterwards: %+v, %v", status, err)
					}
				} else if len(report.Mended)+len(opened) != 1 || len(report.Lost)+len(report.SetAside) > 0 {
					t.Errorf("report %+v, mended before it was opened %v", report, opened)
				}
				if again, opened := mend(t, state); !again.Nothing() || len(opened) > 0 {
					t.Errorf("a second repair finds more to do: %+v, %v", again, opened)
				}
			})
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
	t.Logf("%d cases, of %d kinds of objects", cases, len(kinds))
	for _, kind := range []string{"config", "keys", "packs", "index", "snapshots", "pins", "parity"} {
		if !kinds[kind] {
			t.Errorf("there is nothing of %s", kind)
		}
	}
}

// rot flips n bits anywhere in what a repository holds.
func rot(s *storagetest.Memory, r *mathrand.Rand, n int, spare func(object string) bool) {
	var names []string
	total := 0
	for _, object := range s.Names() {
		if !spare(object) {
			data, _ := s.Object(object)
			names, total = append(names, object), total+len(data)
		}
	}
	for range n {
		at := r.IntN(total)
		for _, object := range names {
			data, _ := s.Object(object)
			if at < len(data) {
				data[at] ^= 1 << r.IntN(8)
				s.Replace(object, data)
				break
			}
			at -= len(data)
		}
	}
}

// fewSeeds is how many random repositories are damaged where this is no soak.
const fewSeeds = 12

// TestBitRotWithParity: flips all over the repository, its parity among it, are all
// undone. Of several that are drawn, more may fall into one stripe than it has parity
// for, or into both copies of a group's table: that is rare, and what it costs is named.
func TestBitRotWithParity(t *testing.T) {
	w := withParity(t, 20)
	tried, flips, mended, beyond := 0, 0, 0, 0
	for seed := range soak.Cases(t, fewSeeds) {
		r := mathrand.New(mathrand.NewPCG(uint64(seed), 9))
		state := w.store.Clone()
		n := 1 + r.IntN(8)
		rot(state, r, n, func(string) bool { return false })
		tried, flips = tried+1, flips+n
		report, opened := mend(t, state)
		mended += len(report.Mended) + len(opened)
		switch lost := mustBeMended(t, w, state); {
		case lost == 0:
			mustBeAsBefore(t, w.store, state)
		case n < 3:
			t.Errorf("seed %d: %d files are lost for %d flips", seed, lost, n)
		default:
			beyond++
		}
	}
	if beyond > tried/100 {
		t.Errorf("%d of %d times files were lost", beyond, tried)
	}
	t.Attr("cases", fmt.Sprint(flips))
	t.Logf("%d flipped bits, %d objects mended; %d of %d times files were lost, and named", flips, mended, beyond, tried)
}

// TestBitRotWithoutParity: every flip is found and named, nothing is read
// wrong before the repair or after it, and what is lost is named.
func TestBitRotWithoutParity(t *testing.T) {
	w := newWorld(t)
	flips, found, lost := 0, 0, 0
	for seed := range soak.Cases(t, fewSeeds) {
		r := mathrand.New(mathrand.NewPCG(uint64(seed), 10))
		state := w.store.Clone()
		before := state.Clone()
		n := 1 + r.IntN(12)
		rot(state, r, n, func(object string) bool { // what cannot be mended by any repair
			return object == "config" || strings.HasPrefix(object, "keys/") || strings.HasPrefix(object, "snapshots/")
		})
		flips += n
		report, err := check.Run(t.Context(), open(t, state), check.Options{ReadData: true})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, p := range report.Problems {
			told = append(told, p.Object)
		}
		told = append(told, report.Notes...)
		for _, object := range before.Names() {
			was, _ := before.Object(object)
			if is, _ := state.Object(object); !bytes.Equal(is, was) {
				found++
				if !strings.Contains(strings.Join(told, "\n"), object) {
					t.Errorf("seed %d: %s was changed, and check does not name it", seed, object)
				}
			}
		}
		mustRepair(t, state, options())
		lost += mustBeMended(t, w, state)
	}
	t.Attr("cases", fmt.Sprint(flips))
	t.Logf("%d flipped bits, %d objects named, %d files lost and named", flips, found, lost)
	if lost == 0 {
		t.Error("nothing was lost: the test damages too little")
	}
}

// TestCoveringAndRemoving: what the program removes itself is not missed, not
// brought back, and what was beside it is covered again.
func TestCoveringAndRemoving(t *testing.T) {
	w := withParity(t, 10)
	r := open(t, w.store)
	slot, err := r.AddKey(t.Context(), repo.Secret{Password: []byte("second")}, repo.Slot{Cost: cheap, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	cover(t, w.store, 10)
	r = open(t, w.store)
	if err := r.RemoveKey(t.Context(), slot); err != nil {
		t.Fatal(err)
	}
	if report, opened := mend(t, w.store.Clone()); len(report.Mended)+len(opened) > 0 {
		t.Errorf("a key that was removed came back: %+v, %v", report.Mended, opened)
	}
	if status, err := r.UpdateParity(t.Context(), nil); err != nil || status.Uncovered > 0 {
		t.Errorf("after an update: %+v, %v", status, err)
	}
	if off := cover(t, w.store, 0); off.Percent != 0 {
		t.Errorf("off: %+v", off)
	}
	for _, object := range w.store.Names() {
		if strings.HasPrefix(object, "parity/groups/") {
			t.Errorf("%s is left", object)
		}
	}
}

// TestParityOfManyRunsIsJoined: a snapshot a day does not leave a group a day.
func TestParityOfManyRunsIsJoined(t *testing.T) {
	w := withParity(t, 10)
	day := w.sites[0]
	for d := range 20 {
		day.db = append(bytes.Clone(day.db), text(uint64(100+d), 20)...)
		w.take(t, w.store, day)
		if covered := cover(t, w.store, 10); covered.Uncovered > 0 || covered.Groups > 16 {
			t.Fatalf("day %d: %+v", d, covered)
		}
	}
	mustBeMended(t, w, w.store)
}

// TestEveryPrefixOfParity stops switching parity on, and off, after each change.
func TestEveryPrefixOfParity(t *testing.T) {
	w := newWorld(t)
	on := storagetest.NewRecorder(t, w.store.Clone())
	r := open(t, on)
	if err := r.SetParity(t.Context(), 20, now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateParity(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	states := 0
	for _, state := range on.Prefixes() {
		states++
		mustBeMended(t, w, state)
		if covered := cover(t, state, 20); covered.Uncovered > 0 {
			t.Errorf("after %d changes: %+v", states-1, covered)
		}
		mustBeMended(t, w, state)
	}
	if states < 3 {
		t.Errorf("%d states only", states)
	}
}

// TestPowerLossWhileParityMends loses power, with what was under way torn, at every
// change of a repair by parity.
func TestPowerLossWhileParityMends(t *testing.T) {
	w := withParity(t, 100)
	state := w.store.Clone()
	rot(state, mathrand.New(mathrand.NewPCG(1, 11)), 6, func(o string) bool { return o == "config" || strings.HasPrefix(o, "keys/") })
	cases := 0
	for seed := range uint64(3) {
		for n := 0; ; n++ {
			crash := storagetest.NewCrash(state, n, seed)
			crash.Tears = true
			_, err := repair.Run(t.Context(), open(t, crash), options())
			if !crash.Crashed() {
				break
			}
			cases++
			if err == nil {
				t.Fatalf("crash at change %d went unnoticed", n)
			}
			survivor := crash.Survivor()
			mend(t, survivor)
			if lost := mustBeMended(t, w, survivor); lost > 0 {
				t.Errorf("crash at change %d, seed %d: %d files lost", n, seed, lost)
			}
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}

// TestAKeySlotThatRotsBeforeItsParityIsMadeAgain: without its secret nobody can tell that
// it is damaged, but by the parity that is to be replaced.
func TestAKeySlotThatRotsBeforeItsParityIsMadeAgain(t *testing.T) {
	w := withParity(t, 100)
	second, err := open(t, w.store).AddKey(t.Context(), repo.Secret{Password: []byte("second")}, repo.Slot{Cost: cheap, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	cover(t, w.store, 100)
	state := w.store.Clone()
	damages[len(damages)-1].to(state, "keys/"+second)
	if named, _ := checked(t, state); !slices.Equal(named, []string{"keys/" + second}) {
		t.Errorf("check names %q", named)
	}
	var damaged []string
	for day := range 10 { // until small groups are joined
		action := []repo.Action{repo.Pin, repo.Unpin}[day%2]
		if _, err := open(t, state).Mark(t.Context(), w.snapshots[0].Name, action, now()); err != nil {
			t.Fatal(err)
		}
		damaged = append(damaged, cover(t, state, 100).Damaged...)
	}
	if !slices.Contains(damaged, "keys/"+second) {
		t.Errorf("it is not named, only %q", damaged)
	}
	mend(t, state)
	want, _ := w.store.Object("keys/" + second)
	if got, _ := state.Object("keys/" + second); !bytes.Equal(got, want) {
		t.Error("the slot is not as it was")
	}
}

// TestWhatRotsBesideWhatIsRemoved: an object is removed on purpose, and with it the
// parity of what has been damaged beside it, which nobody has noticed.
func TestWhatRotsBesideWhatIsRemoved(t *testing.T) {
	w := withParity(t, 50)
	r := open(t, w.store)
	var slots []string
	for _, password := range []string{"second", "third"} {
		slot, err := r.AddKey(t.Context(), repo.Secret{Password: []byte(password)}, repo.Slot{Cost: cheap, Now: start})
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, "keys/"+slot)
	}
	cover(t, w.store, 100) // makes it all anew: one group of records, one of contents
	removed := map[string]string{"keys": slots[0]}
	for _, object := range w.store.Names() {
		if folder, _, _ := strings.Cut(object, "/"); folder == "packs" || folder == "index" {
			removed[folder] = object
		}
	}
	cases := 0
	for _, object := range append(slots[1:], w.store.Names()...) {
		folder, _, _ := strings.Cut(object, "/")
		with := removed["keys"]
		switch folder {
		case "packs", "index":
			with = removed["packs"]
		case "snapshots", "keys":
		default:
			continue
		}
		if object == with || folder == "keys" && object != slots[1] {
			continue
		}
		for _, d := range damages {
			cases++
			state := w.store.Clone()
			r := open(t, state)
			d.to(state, object)
			var err error
			if name, bad := pack.ParseObjectName(with); bad == nil {
				_, err = r.RemovePack(t.Context(), name)
			} else {
				err = r.RemoveKey(t.Context(), strings.TrimPrefix(with, "keys/"))
			}
			if err != nil { // a damaged slot can keep others from being listed, and so from being removed
				mend(t, state)
			} else if _, there := state.Object(with); there {
				t.Errorf("%s, %s: %s is still there", object, d.name, with)
			}
			want, _ := w.store.Object(object)
			if got, _ := state.Object(object); !bytes.Equal(got, want) {
				t.Errorf("%s, %s: it is not mended", object, d.name)
			}
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}
