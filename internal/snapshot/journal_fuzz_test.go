package snapshot

import (
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"holdfast/repo"
)

func sampleJournal() *Journal {
	return &Journal{State: Swapping, Token: "2ca4d90639f706283fee", Snapshot: repo.Name{1}, Project: "shop", Environment: "master",
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Parts: []string{"db", "uploads"}, Retires: []string{"uploads"}, Safety: true}
}

// accept loads a journal that holds data: what is taken for one says the same when
// it is stored again.
func accept(t *testing.T, p Place, data []byte) (taken bool) {
	t.Helper()
	if err := p.replace(data); err != nil {
		t.Fatal(err)
	}
	j, err := p.Load()
	if err != nil {
		return false
	}
	if err := p.Store(j); err != nil {
		t.Fatal(err)
	}
	if again, err := p.Load(); err != nil || !reflect.DeepEqual(again, j) {
		t.Fatalf("%q is %+v, and then %+v: %v", data, j, again, err)
	}
	return true
}

func journalPlace(t testing.TB) (p Place, whole []byte) {
	t.Helper()
	p = PlaceOf(t.TempDir(), "shop", "master")
	unlock, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	if err := p.Store(sampleJournal()); err != nil {
		t.Fatal(err)
	}
	if whole, err = os.ReadFile(p.journal()); err != nil {
		t.Fatal(err)
	}
	return p, whole
}

// TestAJournalCutAnywhereIsNone, so that nothing is recovered by half of one.
func TestAJournalCutAnywhereIsNone(t *testing.T) {
	p, whole := journalPlace(t)
	for n := range whole {
		if accept(t, p, whole[:n]) {
			t.Errorf("cut at %d of %d it is taken for one", n, len(whole))
		}
		flipped := append([]byte{}, whole...)
		flipped[n] ^= 1
		accept(t, p, flipped)
	}
	t.Attr("cases", strconv.Itoa(2*len(whole)))
}

// TestAJournalKeepsPathsThatAreNoText: the safety snapshot that a recovery sends says
// beneath which path it lies, and is restored there.
func TestAJournalKeepsPathsThatAreNoText(t *testing.T) {
	p, _ := journalPlace(t)
	for _, path := range []string{"", "2026", "bad\xff\nname/\xfe", "ünï"} {
		j := sampleJournal()
		j.Subpath = path
		if err := p.Store(j); err != nil {
			t.Fatal(err)
		}
		if again, err := p.Load(); err != nil || !reflect.DeepEqual(again, j) {
			t.Errorf("%q is %+v, and then %+v: %v", path, j, again, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	p, whole := journalPlace(f)
	f.Add(whole)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) { accept(t, p, data) })
}
