package repo_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// TestWhatIsLostIsStoredAnew: a blob in a pack that has vanished, or that is not
// as long as it was, is not known any more, nor is what can only be read with it.
// The next create heals itself and whatever older snapshot has the same content.
func TestWhatIsLostIsStoredAnew(t *testing.T) {
	m := twoDays(t)
	for _, d := range []damage{
		{"missing", func(s *storagetest.Memory, o string) { _ = s.Delete(context.Background(), o) }},
		{"cut", func(s *storagetest.Memory, o string) { data, _ := s.Object(o); s.Replace(o, data[:len(data)-1]) }},
		{"longer", func(s *storagetest.Memory, o string) { data, _ := s.Object(o); s.Replace(o, append(data, 0)) }},
	} {
		packs := 0
		for _, object := range m.store.Names() {
			if !strings.HasPrefix(object, "packs/") {
				continue
			}
			packs++
			for _, cache := range []string{"", t.TempDir()} {
				state := m.store.Clone()
				mustOpenWith(t, state, cache)
				d.apply(state, object)
				session, err := mustOpenWith(t, state, cache).Begin(t.Context(), repo.Create, now)
				if err != nil {
					t.Fatal(err)
				}
				if !session.LostPacks() {
					t.Errorf("%s %s: the session does not know", d.name, object)
				}
				first := repotest.Put(t, mustOpenWith(t, state, cache), m.contents[0], nil)
				second := repotest.Put(t, mustOpenWith(t, state, cache), m.contents[1], first)
				r := mustOpenWith(t, state, cache)
				for i, s := range []*repo.Snapshot{first, second} {
					repotest.MustHold(t, r, s, m.contents[i])
					repotest.MustHold(t, r, m.snapshots[i], m.contents[i])
				}
			}
		}
		if packs < 4 {
			t.Fatalf("%d packs only", packs)
		}
	}
}

// TestNoDeltaOfALostBase: what a delta is made from can be read without the packs
// that are lost, at the depth that the delta says.
func TestNoDeltaOfALostBase(t *testing.T) {
	m := twoDays(t)
	third := repotest.Files{"dump.sql": bytes.Replace(m.contents[1]["dump.sql"], []byte("(100,"), []byte("(7777777,"), 1)}
	for _, object := range m.store.Names() {
		if !strings.HasPrefix(object, "packs/") {
			continue
		}
		state := m.store.Clone()
		r := mustOpen(t, state)
		base := m.snapshots[1].Root.Content // whose listing tells the bases, read before the loss
		bases := map[string]bool{}
		for e, err := range r.Children(t.Context(), m.snapshots[1].Root) {
			if err != nil {
				t.Fatal(err)
			}
			bases[e.Name] = true
		}
		_ = state.Delete(t.Context(), object)
		if len(base.Refs) == 0 || !bases["dump.sql"] {
			t.Fatal("nothing to make deltas of")
		}
		s := repotest.Put(t, r, third, m.snapshots[1]) // r still has the listing at hand
		repotest.MustHold(t, mustOpen(t, state), s, third)
	}
}

// TestWhatWasCommittedSinceIsNotMissed: what this machine has committed after the
// snapshots were listed is in seen.json, and not in the listing.
func TestWhatWasCommittedSinceIsNotMissed(t *testing.T) {
	m := twoDays(t)
	cache := t.TempDir()
	r := mustOpenWith(t, m.store, cache)
	all, err := r.Snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	third := repotest.Put(t, mustOpenWith(t, m.store, cache), repotest.Files{"a": []byte("a")}, m.snapshots[1])
	if vanished, err := r.Vanished(t.Context(), all); err != nil || len(vanished) > 0 {
		t.Errorf("committed meanwhile: %v, %v", vanished, err)
	}
	if gone, err := r.Unaccounted(t.Context(), all); err != nil || len(gone) > 0 {
		t.Errorf("committed meanwhile: %v, %v", gone, err)
	}
	if err := m.store.Delete(t.Context(), "snapshots/"+third.Name.String()); err != nil {
		t.Fatal(err)
	}
	if vanished, err := r.Vanished(t.Context(), all); err != nil || len(vanished) != 1 {
		t.Errorf("lost: %v, %v", vanished, err)
	}
}

// TestWhatCouldNotBeReadIsStoredAnew: the packs are as long as they must be, so only
// who reads from them notices; what is put after that is not taken for present.
func TestWhatCouldNotBeReadIsStoredAnew(t *testing.T) {
	store := repotest.New(t)
	files := repotest.Files{"a": repotest.Random(1, 9000), "b": repotest.Random(2, 9000)}
	before := repotest.Put(t, repotest.Open(t, store), files, nil)
	for _, object := range store.Names() {
		if strings.HasPrefix(object, "packs/") {
			data, _ := store.Object(object)
			store.Replace(object, make([]byte, len(data)))
		}
	}
	r := repotest.Open(t, store)
	if repotest.Holds(t.Context(), r, before, files) == nil {
		t.Fatal("nothing is damaged")
	}
	after := repotest.Put(t, r, files, nil)
	for e, err := range repotest.Open(t, store).Children(t.Context(), after.Root) {
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
	}
}
