package repo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

func rotate(t *testing.T, r *repo.Repository) error {
	t.Helper()
	_, err := r.RotateKeys(t.Context(), secret, cheap, start)
	return err
}

func packsOf(s *storagetest.Memory) (packs []string) {
	for _, object := range s.Names() {
		if strings.HasPrefix(object, "packs/") {
			packs = append(packs, object)
		}
	}
	return packs
}

// TestNewKeysSealWhatIsWrittenFromThenOn: no pack is rewritten; a slot that was
// not renewed reads what was written before, and calls nothing damaged.
func TestNewKeysSealWhatIsWrittenFromThenOn(t *testing.T) {
	m := twoDays(t)
	other := repo.Secret{Password: []byte("of a colleague")}
	if _, err := mustOpen(t, m.store).AddKey(t.Context(), other, repo.Slot{Cost: cheap, Now: start}); err != nil {
		t.Fatal(err)
	}
	before := packsOf(m.store)
	if err := rotate(t, mustOpen(t, m.store)); err != nil {
		t.Fatal(err)
	}
	if after := packsOf(m.store); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("packs were rewritten: %v, before %v", after, before)
	}
	third := repotest.Files{"dump.sql": append(bytes.Clone(m.contents[1]["dump.sql"]), "more"...)}
	s := repotest.Put(t, mustOpen(t, m.store), third, m.snapshots[1])
	r := mustOpen(t, m.store)
	repotest.MustHold(t, r, s, third)
	repotest.MustHold(t, r, m.snapshots[0], m.contents[0])
	repotest.MustBeWhole(t, r)

	stale, err := repo.Open(t.Context(), m.store, other, repo.Options{Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	repotest.MustHold(t, stale, m.snapshots[0], m.contents[0])
	var epoch *seal.EpochError
	if _, err := stale.Snapshot(t.Context(), s.Name); !errors.As(err, &epoch) || !repo.Foreign(err) || strings.Contains(err.Error(), "damaged") {
		t.Errorf("a slot from before the rotation reads what came afterwards: %v", err)
	}
	if _, err := stale.RotateKeys(t.Context(), other, cheap, start); !errors.Is(err, repo.ErrStaleKey) {
		t.Errorf("it rotates: %v", err)
	}
	keys, err := r.Keys(t.Context())
	if err != nil || len(keys) != 2 || !keys[0].Stale(keys) == !keys[1].Stale(keys) {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

// TestEveryPrefixOfAKeyChange stops a rotation, and a change of the password, after
// each change to the storage: somebody who knows the password always gets in, sees
// everything, can write, and can do it again.
func TestEveryPrefixOfAKeyChange(t *testing.T) {
	m := twoDays(t)
	fresh := repo.Secret{Password: []byte("a new one")}
	password := func(r *repo.Repository) error { // as the command does it
		slot, err := r.AddKey(t.Context(), fresh, repo.Slot{Cost: cheap, Now: start})
		if err != nil {
			return err
		}
		return r.RemoveKeysOf(t.Context(), secret, slot)
	}
	for name, change := range map[string]func(*repo.Repository) error{
		"rotation": func(r *repo.Repository) error { return rotate(t, r) },
		"password": password,
	} {
		recorder := storagetest.NewRecorder(t, m.store.Clone())
		if err := change(mustOpen(t, recorder)); err != nil {
			t.Fatal(err)
		}
		states := 0
		for _, state := range recorder.Prefixes() {
			states++
			in := secret
			r, err := openMemory(t, state, "")
			if errors.Is(err, repo.ErrWrongSecret) && name == "password" {
				in = fresh
				r, err = repo.Open(t.Context(), state, fresh, repo.Options{Random: rand.Reader})
			}
			if err != nil {
				t.Fatalf("%s, %d changes: %v", name, states-1, err)
			}
			for i, s := range m.snapshots {
				repotest.MustHold(t, r, s, m.contents[i])
			}
			third := repotest.Files{"a": []byte("written meanwhile")}
			s := repotest.Put(t, r, third, nil)
			if name == "rotation" {
				changed := state.Clone()
				if err := password(mustOpen(t, changed)); err != nil {
					t.Fatalf("the password after %d changes: %v", states-1, err)
				}
				if _, err := openMemory(t, changed, ""); !errors.Is(err, repo.ErrWrongSecret) {
					t.Errorf("after %d changes of a rotation and a change of the password the old one opens: %v", states-1, err)
				}
				if err := rotate(t, r); err != nil {
					t.Fatalf("again after %d changes: %v", states-1, err)
				}
			}
			r, err = repo.Open(t.Context(), state, in, repo.Options{Random: rand.Reader})
			if err != nil {
				t.Fatal(err)
			}
			repotest.MustHold(t, r, s, third)
			repotest.MustHold(t, r, repotest.Put(t, r, repotest.Files{"b": []byte("and afterwards")}, s), repotest.Files{"b": []byte("and afterwards")})
			repotest.MustBeWhole(t, r)
		}
		if states < 3 {
			t.Errorf("%s: %d states only", name, states)
		}
		t.Attr("cases", fmt.Sprint(states))
	}
}

// TestTwoRotationsAtOnce: one of them is second, whatever comes between their steps,
// and nothing that was written under the first's keys is lost.
func TestTwoRotationsAtOnce(t *testing.T) {
	for n := 1; n < 12; n++ {
		m := twoDays(t)
		other := repo.Secret{Password: []byte("of a colleague")}
		if _, err := mustOpen(t, m.store).AddKey(t.Context(), other, repo.Slot{Cost: cheap, Now: start}); err != nil {
			t.Fatal(err)
		}
		colleague, err := repo.Open(t.Context(), m.store, other, repo.Options{Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		faulty := storagetest.NewFaulty(m.store)
		first := mustOpen(t, faulty)
		var theirs error
		faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: n, Effect: between(func() {
			_, theirs = colleague.RotateKeys(t.Context(), other, cheap, start)
		})})
		ours := rotate(t, first)
		if ours == nil && theirs == nil {
			// Theirs came wholly before ours began, or after it had ended: then it
			// must have seen the other.
			keys, err := mustOpen(t, m.store).Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			epochs := map[uint32]int{}
			for _, k := range keys {
				epochs[k.Epochs]++
			}
			if epochs[2] > 1 || epochs[3] > 1 {
				t.Errorf("step %d: two slots with different keys of one number: %v", n, epochs)
			}
		}
	}
}

// TestARotationBesideOneThatIsDone: all of another rotation, and a snapshot that is sealed
// under its keys, come between two calls of one. Who is first has decided: the snapshot
// is read by whoever has keys as new.
func TestARotationBesideOneThatIsDone(t *testing.T) {
	content := repotest.Files{"a": []byte("sealed under the keys of the other")}
	cases := 0
	for reached := true; reached; cases++ {
		m := twoDays(t)
		faulty := storagetest.NewFaulty(m.store)
		first := mustOpen(t, faulty)
		var s *repo.Snapshot
		rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: cases + 1, Effect: between(func() {
			if err := rotate(t, mustOpen(t, m.store)); err != nil {
				t.Logf("before call %d: %v", cases+1, err)
			}
			s = repotest.Put(t, mustOpen(t, m.store), content, nil)
		})})
		ours := rotate(t, first)
		if reached = rule.Hits() > 0; !reached {
			break
		}
		r := mustOpen(t, m.store)
		if read, err := r.Snapshot(t.Context(), s.Name); err != nil {
			t.Errorf("before call %d: %v; the rotation around it: %v", cases+1, err, ours)
		} else {
			repotest.MustHold(t, r, read, content)
		}
	}
	if cases < 8 {
		t.Errorf("%d calls only", cases)
	}
}

// TestASnapshotBetweenTwoRotations: both have drawn their keys before either has put its
// slot, and a snapshot is taken as soon as one of the slots opens. Whichever is first, it
// is read afterwards.
func TestASnapshotBetweenTwoRotations(t *testing.T) {
	m := twoDays(t)
	content := repotest.Files{"a": []byte("sealed under the keys of the one whose slot is there")}
	var s *repo.Snapshot
	take := func() { s = repotest.Put(t, mustOpen(t, m.store), content, nil) }
	arrived, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	behind := storagetest.NewFaulty(m.store)
	behind.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("keys"), Nth: 1, Effect: between(func() {
		close(arrived)
		<-goOn
	})})
	second := mustOpen(t, behind)
	ahead := storagetest.NewFaulty(m.store)
	ahead.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Under("keys"), Nth: 1,
		Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
			go func() { done <- rotate(t, second) }()
			<-arrived
			err := do()
			take()
			return err
		}})
	ours := rotate(t, mustOpen(t, ahead))
	close(goOn)
	if theirs := <-done; (ours == nil) == (theirs == nil) {
		t.Errorf("one of two is first: %v, %v", ours, theirs)
	}
	r := mustOpen(t, m.store)
	read, err := r.Snapshot(t.Context(), s.Name)
	if err != nil {
		t.Fatalf("the rotations: %v; %v", ours, err)
	}
	repotest.MustHold(t, r, read, content)
	take()
	repotest.MustBeWhole(t, mustOpen(t, m.store))
}

// TestOpenedBesideARotation: the slot that was there gives way to another one between any
// two calls of who opens the repository, whose secret is not wrong for that.
func TestOpenedBesideARotation(t *testing.T) {
	cases := 0
	for reached := true; reached; cases++ {
		m := twoDays(t)
		token := seal.Token{1}
		if _, err := mustOpen(t, m.store).AddKey(t.Context(), repo.Secret{Token: &token}, repo.Slot{Now: start}); err != nil {
			t.Fatal(err)
		}
		rotating := mustOpen(t, m.store)
		faulty := storagetest.NewFaulty(m.store)
		rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: cases + 1, Effect: between(func() {
			if err := rotate(t, rotating); err != nil {
				t.Error(err)
			}
		})})
		if _, err := openMemory(t, faulty, ""); err != nil {
			t.Errorf("before call %d: %v", cases+1, err)
		}
		reached = rule.Hits() > 0
	}
	if cases < 6 {
		t.Errorf("%d calls only", cases)
	}
}

// TestTheLastKeyOfWhatIsNew: of two slots one is from before a rotation. Without the other
// nobody could read what was written since.
func TestTheLastKeyOfWhatIsNew(t *testing.T) {
	m := twoDays(t)
	r := mustOpen(t, m.store)
	old, err := r.AddKey(t.Context(), repo.Secret{Password: []byte("of a colleague")}, repo.Slot{Cost: cheap, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	slot, err := r.RotateKeys(t.Context(), secret, cheap, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveKey(t.Context(), slot); !errors.Is(err, repo.ErrLastNewKey) {
		t.Errorf("the only key that was written after a rotation is removed: %v", err)
	}
	if err := r.RemoveKey(t.Context(), old); err != nil {
		t.Errorf("the old one: %v", err)
	}
}

// TestTwoKeysAreRemovedAtOnce, by two people, each the other's: one of them stays.
func TestTwoKeysAreRemovedAtOnce(t *testing.T) {
	other := repo.Secret{Password: []byte("of a colleague")}
	cases := 0
	for reached := true; reached; cases++ {
		m := twoDays(t)
		r := mustOpen(t, m.store)
		theirs, err := r.AddKey(t.Context(), other, repo.Slot{Cost: cheap, Now: start})
		if err != nil {
			t.Fatal(err)
		}
		ours, err := r.SlotOf(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		colleague, err := repo.Open(t.Context(), m.store, other, repo.Options{Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		faulty := storagetest.NewFaulty(m.store)
		first := mustOpen(t, faulty)
		rule := faulty.Inject(storagetest.Fault{Ops: storagetest.Any, Nth: cases + 1, Effect: between(func() {
			err = colleague.RemoveKey(t.Context(), ours)
		})})
		err = errors.Join(err, first.RemoveKey(t.Context(), theirs))
		reached = rule.Hits() > 0
		_, byOurs := openMemory(t, m.store, "")
		_, byTheirs := repo.Open(t.Context(), m.store, other, repo.Options{Random: rand.Reader})
		if byOurs != nil && byTheirs != nil {
			t.Errorf("before call %d: nobody can open the repository: %v", cases+1, byOurs)
		}
		if reached && err == nil {
			t.Errorf("before call %d: both were told that they had removed the other's", cases+1)
		}
	}
	if cases < 4 {
		t.Errorf("%d calls only", cases)
	}
}

// between does something before an operation is done.
func between(f func()) storagetest.Effect {
	return func(_ context.Context, _ *storagetest.Call, do func() error) error {
		f()
		return do()
	}
}

// TestASessionUnderNewerKeys: who has opened the repository before a rotation cannot read what
// a session after it says of itself. A collection must not take it for damaged, and so for one
// of which nobody has heard since the year 1.
func TestASessionUnderNewerKeys(t *testing.T) {
	m := twoDays(t)
	old := mustOpen(t, m.store)
	if err := rotate(t, mustOpen(t, m.store)); err != nil {
		t.Fatal(err)
	}
	if _, err := mustOpen(t, m.store).Begin(t.Context(), repo.Create, func() time.Time { return start }); err != nil {
		t.Fatal(err)
	}
	open, err := old.Sessions(t.Context())
	if _, epoch := errors.AsType[*seal.EpochError](err); !epoch {
		t.Errorf("%+v, %v", open, err)
	}
}
