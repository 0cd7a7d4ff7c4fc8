package repo_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/repotest"
)

// TestATornLastWrite: of the object that was being written when the power went, a
// disk that lied has kept the beginning. It is found by name and hurts no snapshot
// that was published before; the next create succeeds, where the index was hurt
// after it was made anew.
func TestATornLastWrite(t *testing.T) {
	m := twoDays(t)
	third := repotest.Files{"big": repotest.Random(5, 1<<20)}
	torn := map[string]int{}
	for seed := uint64(0); seed < 3 || len(torn) < 4 && seed < 60; seed++ {
		for n := 0; ; n++ {
			crash := storagetest.NewCrash(m.store, n, seed)
			crash.Tears = true
			_ = tryPut(t.Context(), mustOpen(t, crash), third) // ends by the crash, or not at all
			if !crash.Crashed() {
				break
			}
			object := crash.Torn()
			if object == "" {
				continue
			}
			kind, _, _ := strings.Cut(object, "/")
			torn[kind]++
			state := crash.Survivor()
			r := mustOpen(t, state)
			for i, s := range m.snapshots {
				repotest.MustHold(t, r, s, m.contents[i])
			}
			report, err := check.Run(t.Context(), r, check.Options{ReadData: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range report.Problems {
				if p.Object != object || len(p.Snapshots) > 0 {
					t.Errorf("%s is torn, check says %v", object, p)
				}
			}
			if kind == "index" {
				if _, err := r.RebuildIndex(t.Context(), now, func(int, int) {}); err != nil {
					t.Errorf("rebuild-index after %s was torn: %v", object, err)
				}
			}
			if err := tryPut(t.Context(), mustOpen(t, state), third); err != nil {
				t.Errorf("after %s was torn: %v", object, err)
			}
		}
	}
	for _, kind := range []string{"sessions", "packs", "index", "snapshots"} {
		if torn[kind] == 0 {
			t.Errorf("nothing of %s was torn: %v", kind, torn)
		}
	}
	t.Attr("cases", strconv.Itoa(torn["sessions"]+torn["packs"]+torn["index"]+torn["snapshots"]))
}

func TestPowerLossAtEveryChange(t *testing.T) {
	m := twoDays(t)
	third := repotest.Files{"big": repotest.Random(5, 1<<20)}
	cases := 0
	for seed := range uint64(3) {
		for n := 0; ; n++ {
			crash := storagetest.NewCrash(m.store, n, seed)
			err := tryPut(t.Context(), mustOpen(t, crash), third)
			if !crash.Crashed() {
				break
			}
			cases++
			if err == nil {
				t.Fatalf("crash at change %d went unnoticed", n)
			}
			r := mustOpen(t, crash.Survivor())
			for i, s := range m.snapshots {
				repotest.MustHold(t, r, s, m.contents[i])
			}
			repotest.MustBeWhole(t, r)
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}

// damage makes one object wrong in one way.
type damage struct {
	name  string
	apply func(s *storagetest.Memory, object string)
}

func damages(other *storagetest.Memory) []damage {
	return []damage{
		{"missing", func(s *storagetest.Memory, o string) { _ = s.Delete(context.Background(), o) }},
		{"empty", func(s *storagetest.Memory, o string) { s.Replace(o, nil) }},
		{"cut", func(s *storagetest.Memory, o string) { d, _ := s.Object(o); s.Replace(o, d[:len(d)-1]) }},
		{"cut in half", func(s *storagetest.Memory, o string) { d, _ := s.Object(o); s.Replace(o, d[:len(d)/2]) }},
		{"longer", func(s *storagetest.Memory, o string) { d, _ := s.Object(o); s.Replace(o, append(d, 0)) }},
		{"first bit flipped", flip(0)},
		{"middle bit flipped", flip(0.5)},
		{"last bit flipped", flip(1)},
		{"replaced by another of its kind", func(s *storagetest.Memory, o string) {
			kind, _, _ := strings.Cut(o, "/")
			for _, n := range other.Names() {
				if d, _ := other.Object(n); strings.HasPrefix(n, kind) && n != o {
					s.Replace(o, d)
					return
				}
			}
		}},
	}
}

func flip(at float64) func(*storagetest.Memory, string) {
	return func(s *storagetest.Memory, o string) {
		d, _ := s.Object(o)
		d[int(at*float64(len(d)-1))] ^= 0x10
		s.Replace(o, d)
	}
}

// TestDamageIsFoundAndNeverRestored damages every object of a repository in every
// way: check with ReadData names the object, and no reader ever yields wrong bytes.
func TestDamageIsFoundAndNeverRestored(t *testing.T) {
	m := twoDays(t)
	other := twoDays(t) // another repository with the same password
	cache := t.TempDir()
	repotest.MustBeWhole(t, mustOpenWith(t, m.store, cache)) // this machine has seen both snapshots
	cases := 0
	for _, object := range m.store.Names() {
		for _, source := range []*storagetest.Memory{m.store, other.store} {
			for _, d := range damages(source) {
				state := m.store.Clone()
				d.apply(state, object)
				if before, _ := m.store.Object(object); same(state, object, before) {
					continue // there is no other of its kind
				}
				cases++
				t.Run(fmt.Sprintf("%s %s", d.name, object), func(t *testing.T) { mustNotice(t, m, state, cache, object) })
			}
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}

func same(s *storagetest.Memory, object string, before []byte) bool {
	now, ok := s.Object(object)
	return ok && bytes.Equal(now, before)
}

func mustNotice(t *testing.T, m inMemory, state *storagetest.Memory, cache, object string) {
	r, err := openMemory(t, state, cache)
	if err != nil {
		if !strings.HasPrefix(object, "config") && !strings.HasPrefix(object, "keys/") {
			t.Fatalf("cannot be opened any more: %v", err)
		}
		return // an error by name is all there can be
	}
	report, err := check.Run(t.Context(), r, check.Options{ReadData: true})
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	if len(report.Problems) == 0 {
		t.Error("check finds nothing")
	}
	if kind, _, _ := strings.Cut(object, "/"); kind == "packs" || kind == "index" || kind == "snapshots" {
		if text := fmt.Sprint(report.Problems); !strings.Contains(text, kind) {
			t.Errorf("check does not name %s: %s", kind, text)
		}
	}
	for i, s := range m.snapshots {
		neverWrong(t, r, s, m.contents[i])
	}
}

// neverWrong reads what can be read: right bytes or an error.
func neverWrong(t *testing.T, r *repo.Repository, s *repo.Snapshot, want repotest.Files) {
	for e, err := range r.Children(t.Context(), s.Root) {
		if err != nil {
			return
		}
		var got bytes.Buffer
		content := r.Open(t.Context(), e)
		_, err := got.ReadFrom(content)
		_ = content.Close()
		if err == nil && !bytes.Equal(got.Bytes(), want[e.Name]) {
			t.Errorf("%s was read wrong, without an error", e.Name)
		}
	}
}

// TestStraysHideNothing: files that somebody put among the objects are named by
// check where they could be meant for something, and keep nobody from working.
func TestStraysHideNothing(t *testing.T) {
	m := twoDays(t)
	for _, stray := range []string{"snapshots/hello", "packs/aa/junk", "index/junk", "sessions/x"} {
		m.store.Replace(stray, []byte("junk"))
	}
	r := mustOpen(t, m.store)
	all, err := r.Snapshots(t.Context())
	if len(all) != 2 || err == nil || !strings.Contains(err.Error(), "snapshots/hello") {
		t.Errorf("%d snapshots, %v", len(all), err)
	}
	for i, s := range m.snapshots {
		repotest.MustHold(t, r, s, m.contents[i])
	}
	repotest.Put(t, mustOpen(t, m.store), repotest.Files{"a": []byte("a")}, nil)
}
