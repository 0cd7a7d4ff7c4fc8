package repair_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo/repair"
)

// spoiled is a world with a bit of damage of every kind.
func spoiled(t *testing.T) (world, *storagetest.Memory) {
	t.Helper()
	w := newWorld(t)
	state := w.store.Clone()
	packs, segments := 0, 0
	for _, object := range w.store.Names() {
		switch {
		case strings.HasPrefix(object, "packs/"):
			damages[(packs*2+2)%len(damages)].to(state, object) // cut, first bit, middle, vanished, cut
			packs++
		case strings.HasPrefix(object, "index/"):
			if segments++; segments == 1 {
				damages[6].to(state, object)
			}
		}
	}
	return w, state
}

// TestEveryPrefixOfRepair stops a repair after each change that it makes, and runs
// it again: the outcome is that of one that was not stopped.
func TestEveryPrefixOfRepair(t *testing.T) {
	w, state := spoiled(t)
	recorder := storagetest.NewRecorder(t, state.Clone())
	mustRepair(t, recorder, options())
	states := 0
	want := -1
	for _, prefix := range recorder.Prefixes() {
		states++
		mustRepair(t, prefix, options())
		lost := mustBeMended(t, w, prefix)
		if want < 0 {
			want = lost
		}
		if lost != want {
			t.Errorf("stopped after %d changes and run again, %d files are lost, else %d", states-1, lost, want)
		}
	}
	if states < 10 || want == 0 {
		t.Errorf("%d states, %d files lost: the recording missed something", states, want)
	}
	t.Attr("cases", fmt.Sprint(states))
}

// TestPowerLossDuringRepair loses power, with what was under way torn, at every
// change.
func TestPowerLossDuringRepair(t *testing.T) {
	w, state := spoiled(t)
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
			mustRepair(t, survivor, options())
			mustBeMended(t, w, survivor)
		}
	}
	t.Attr("cases", fmt.Sprint(cases))
}
