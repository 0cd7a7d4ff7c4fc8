package check

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// some are packs of one MB each, with names as hashes are.
func some(n int) map[[32]byte]int64 {
	packs := map[[32]byte]int64{}
	for i := range n {
		packs[sha256.Sum256([]byte(fmt.Sprint(i)))] = 1e6
	}
	return packs
}

func TestParsePart(t *testing.T) {
	for text, want := range map[string]Part{"5%": {Percent: 5}, "0.5%": {Percent: 0.5}, "100%": {Percent: 100}, "1/1": {Of: 1, In: 1}, "3/20": {Of: 3, In: 20}} {
		if got, err := ParsePart(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "%", "0%", "-1%", "101%", "NaN%", "0/3", "4/3", "1/", "/2", "1/0", "a/b", "1/99999999"} {
		if got, err := ParsePart(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// TestAPercentageGoesRound: each run takes up where the one before has ended, also in
// another process, and after as many as it takes everything was read.
func TestAPercentageGoesRound(t *testing.T) {
	packs := some(40)
	file := filepath.Join(t.TempDir(), "deep", "check.json")
	seen := map[[32]byte]int{}
	for range 20 {
		r := newReading(Options{Part: Part{Percent: 5}, Position: file})
		chosen, _ := r.choose(packs)
		if len(chosen) != 2 {
			t.Fatalf("%d packs are 5%% of 40", len(chosen))
		}
		for _, name := range chosen {
			seen[name]++
			r.done(name, false)
		}
		r.finish()
		r.keep()
	}
	for name := range packs {
		if seen[name] != 1 {
			t.Errorf("%x was read %d times in 20 runs of 5%%", name[:4], seen[name])
		}
	}
}

func TestThePartsOfAFractionAreAll(t *testing.T) {
	packs := some(200)
	read := 0
	for of := range uint64(7) {
		chosen, _ := newReading(Options{Part: Part{Of: of + 1, In: 7}}).choose(packs)
		if again, _ := newReading(Options{Part: Part{Of: of + 1, In: 7}}).choose(packs); !slices.Equal(chosen, again) {
			t.Error("not the same packs twice")
		}
		read += len(chosen)
	}
	if read != len(packs) {
		t.Errorf("%d packs in seven sevenths of %d", read, len(packs))
	}
}

// TestReadingEverythingGoesOn where it was interrupted, and reads once more what was
// damaged, so that it is told.
func TestReadingEverythingGoesOn(t *testing.T) {
	packs := some(30)
	file := filepath.Join(t.TempDir(), "check.json")
	first := newReading(Options{ReadData: true, Position: file})
	chosen, _ := first.choose(packs)
	for i, name := range chosen[:20] {
		first.done(name, i == 4)
	}
	first.keep() // interrupted: it does not finish

	second := newReading(Options{ReadData: true, Position: file})
	rest, before := second.choose(packs)
	if len(rest) != 11 || before != 19 || rest[0] != chosen[4] || !slices.Equal(rest[1:], chosen[20:]) {
		t.Errorf("goes on with %d packs, %d before", len(rest), before)
	}
	for _, name := range rest {
		second.done(name, false)
	}
	second.finish()
	second.keep()
	if all, before := newReading(Options{ReadData: true, Position: file}).choose(packs); len(all) != 30 || before != 0 {
		t.Errorf("the run after has %d packs, %d before", len(all), before)
	}
}

// TestWhatComesMeanwhileIsRead: of a run that was interrupted and goes on later, packs that
// came in between are not among those that it had read, wherever they sort.
func TestWhatComesMeanwhileIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "check.json")
	first := newReading(Options{ReadData: true, Position: file})
	chosen, _ := first.choose(some(30))
	for _, name := range chosen[:20] {
		first.done(name, false)
	}
	first.keep()

	more := some(60)
	delete(more, chosen[0]) // collected meanwhile
	rest, before := newReading(Options{ReadData: true, Position: file}).choose(more)
	if len(rest) != 40 || before != 19 {
		t.Errorf("goes on with %d packs, %d before, of 10 that were left, 30 that came and 19 that are still there", len(rest), before)
	}
}

// TestTheListIsNotWrittenOverAndOver: who is killed has little to read again, and who reads a
// million packs does not write their list for every few.
func TestTheListIsNotWrittenOverAndOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "check.json")
	r := newReading(Options{ReadData: true, Position: file})
	writes, least := 0, 0
	for n := range 20_000 {
		r.done([32]byte{byte(n >> 8), byte(n)}, false)
		if r.since == 0 {
			writes++
		}
		least = max(least, r.since)
	}
	if writes < 60 || writes > 160 || least > 64+20_000/64 {
		t.Errorf("written %d times; at most %d packs were read in between", writes, least)
	}
	if len(newReading(Options{ReadData: true, Position: file}).at.Whole) < 19_000 {
		t.Error("what was read is not kept")
	}
}

// TestTheRateIsKept: ten packs of 1 MB at 2 MB/s take five seconds.
func TestTheRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(Options{ReadData: true, Rate: 2e6, Now: time.Now})
		start := time.Now()
		for range 10 {
			if err := r.wait(t.Context(), 1e6); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 4900*time.Millisecond || took > 5100*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}
