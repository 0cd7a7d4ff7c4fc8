package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/storage"
	. "holdfast/internal/storage/storagetest"
)

func TestEveryStorageKeepsTheContract(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) storage.Storage{
		"Memory":   func(*testing.T) storage.Storage { return NewMemory() },
		"Recorder": func(t *testing.T) storage.Storage { return NewRecorder(t, NewMemory()) },
		"Faulty":   func(*testing.T) storage.Storage { return NewFaulty(NewMemory()) },
		"Crash":    func(*testing.T) storage.Storage { return NewCrash(NewMemory(), 1<<30, 0) },
		"All": func(t *testing.T) storage.Storage {
			return NewRecorder(t, NewFaulty(NewCrash(NewMemory(), 1<<30, 0)))
		},
	} {
		t.Run(name, func(t *testing.T) { Run(t, open) })
	}
}

func put(t *testing.T, s storage.Storage, name, data string) {
	t.Helper()
	if err := s.Put(t.Context(), name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func state(m *Memory) string {
	var b strings.Builder
	for _, name := range m.Names() {
		data, _ := m.Object(name)
		fmt.Fprintf(&b, "%s=%s ", name, data)
	}
	return strings.TrimSpace(b.String())
}

func TestRecorderRebuildsEveryPrefix(t *testing.T) {
	inner := NewMemory()
	put(t, inner, "config", "c")
	r := NewRecorder(t, inner)
	put(t, r, "packs/a", "1")
	if err := r.Put(t.Context(), "packs/a", []byte("2")); !errors.Is(err, storage.ErrExist) {
		t.Fatal(err)
	}
	put(t, r, "packs/b", "2")
	if _, err := r.ReadAt(t.Context(), "packs/b", make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), "packs/a"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for n, m := range r.Prefixes() {
		got = append(got, fmt.Sprint(n, ": ", state(m)))
		put(t, m, "scratch", "a prefix is the caller's own")
	}
	want := []string{"0: config=c", "1: config=c packs/a=1", "2: config=c packs/a=1 packs/b=2", "3: config=c packs/b=2"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := r.Names(Any), []string{"packs/a", "packs/a", "packs/b", "packs/b", "packs/a"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
	if reads := r.Operations(ReadAt); len(reads) != 1 || reads[0].Len != 1 || !reads[0].Done {
		t.Errorf("recorded reads %+v", reads)
	}
}

func TestFaultyStrikesWhatItIsTold(t *testing.T) {
	broken := errors.New("broken")
	f := NewFaulty(NewMemory())
	rule := f.Inject(Fault{Ops: Put, Names: Under("packs"), Nth: 2, Effect: Fail(broken)})
	var outcome []string
	for _, name := range []string{"packs/1", "index/1", "packs/2", "packs/3"} {
		err := f.Put(t.Context(), name, nil)
		outcome = append(outcome, fmt.Sprint(errors.Is(err, broken)))
	}
	if got := strings.Join(outcome, " "); got != "false false true false" {
		t.Errorf("struck: %s", got)
	}
	if rule.Calls() != 3 || rule.Hits() != 1 {
		t.Errorf("%d calls, %d hits", rule.Calls(), rule.Hits())
	}
}

func TestFaultyStopsAndStarts(t *testing.T) {
	f := NewFaulty(NewMemory())
	rule := f.Inject(Fault{Effect: Full()})
	rule.Stop()
	put(t, f, "a", "")
	rule.Start()
	err := f.Put(t.Context(), "b", nil)
	if !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "put b") {
		t.Errorf("error is %v", err)
	}
}

func TestFaultyEffects(t *testing.T) {
	broken := errors.New("broken")
	inner := NewMemory()
	put(t, inner, "x", "01234567")
	read := func(effects ...Effect) (string, error) {
		f := NewFaulty(inner)
		for _, e := range effects {
			f.Inject(Fault{Ops: ReadAt, Names: Is("x"), Effect: e})
		}
		p := make([]byte, 6)
		n, err := f.ReadAt(t.Context(), "x", p, 1)
		return string(p[:n]), err
	}
	for name, c := range map[string]struct {
		effects []Effect
		want    string
		err     error
	}{
		"none":           {nil, "123456", nil},
		"Fail":           {[]Effect{Fail(broken)}, "", broken},
		"FailAfter":      {[]Effect{FailAfter(broken)}, "123456", broken},
		"Short":          {[]Effect{Short(2)}, "12", io.ErrUnexpectedEOF},
		"Flip":           {[]Effect{Flip(2)}, "133456", nil},
		"Flip elsewhere": {[]Effect{Flip(0)}, "123456", nil},
		"Flip, Short":    {[]Effect{Flip(1), Short(3)}, "023", io.ErrUnexpectedEOF},
	} {
		if got, err := read(c.effects...); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
	if got, _ := inner.Object("x"); string(got) != "01234567" {
		t.Errorf("the object itself was changed: %q", got)
	}
}

// ReadAll yields a whole object or an error that names it.
func TestReadAllOfAShortRead(t *testing.T) {
	f := NewFaulty(NewMemory())
	put(t, f, "keys/00", "12345")
	for _, c := range []struct {
		effect Effect
		want   error
	}{{Short(3), io.ErrUnexpectedEOF}, {Fail(io.EOF), io.ErrUnexpectedEOF}, {FailAfter(io.EOF), nil}} {
		rule := f.Inject(Fault{Ops: ReadAt, Effect: c.effect})
		data, err := storage.ReadAll(t.Context(), f, "keys/00", 5)
		if !errors.Is(err, c.want) || err == nil && string(data) != "12345" {
			t.Errorf("read %q, %v; want %v", data, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "keys/00") {
			t.Errorf("error %q does not name the object", err)
		}
		rule.Stop()
	}
}

func TestFaultyLosesTheAnswer(t *testing.T) {
	inner := NewMemory()
	f := NewFaulty(inner)
	f.Inject(Fault{Ops: Changes, Nth: 1, Effect: FailAfter(context.DeadlineExceeded)})
	err := f.Put(t.Context(), "a", []byte("x"))
	if !errors.Is(err, context.DeadlineExceeded) || state(inner) != "a=x" {
		t.Errorf("error %v, state %q", err, state(inner))
	}
}

func TestFaultyHangsUntilCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFaulty(NewMemory())
		f.Inject(Fault{Ops: Put, Effect: Hang()})
		f.Inject(Fault{Ops: List, Effect: Slow(time.Minute)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		for _, err := range f.List(ctx, "") {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("the listing took %v", waited)
		}
		if err := f.Put(ctx, "a", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestFaultyListing(t *testing.T) {
	inner := NewMemory()
	put(t, inner, "x/1", "")
	put(t, inner, "x/2", "")
	f := NewFaulty(inner)
	broken := errors.New("broken")
	f.Inject(Fault{Ops: List, Names: Under("x"), Effect: FailAfter(broken)})
	var seen []string
	var last error
	for info, err := range f.List(t.Context(), "x") {
		if last = err; err == nil {
			seen = append(seen, info.Name)
		}
	}
	if len(seen) != 2 || !errors.Is(last, broken) {
		t.Errorf("saw %q, then %v", seen, last)
	}
	for range f.List(t.Context(), "x") {
		break // the fault behind it must not be yielded to who has left
	}
}

func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(64) {
		c := NewCrash(NewMemory(), 2, seed)
		c.Tears = true
		put(t, c, "a", "first")
		put(t, c, "b", "second")
		if c.Crashed() {
			t.Fatal("crashed too early")
		}
		if err := c.Put(t.Context(), "c", []byte("third")); !errors.Is(err, ErrCrashed) {
			t.Fatalf("the cut change: %v", err)
		}
		if _, err := c.Stat(t.Context(), "a"); !errors.Is(err, ErrCrashed) || !c.Crashed() {
			t.Fatalf("after the crash: %v", err)
		}
		s := state(c.Survivor())
		if !strings.HasPrefix(s, "a=first b=second") {
			t.Fatalf("acknowledged objects were lost: %q", s)
		}
		switch third, there := c.Survivor().Object("c"); {
		case !there:
			outcomes["dropped"]++
		case string(third) == "third":
			outcomes["kept"]++
		case strings.HasPrefix("third", string(third)):
			outcomes["torn"]++
		default:
			t.Fatalf("the cut object holds %q", third)
		}
	}
	if got := slices.Sorted(maps.Keys(outcomes)); !slices.Equal(got, []string{"dropped", "kept", "torn"}) {
		t.Errorf("64 seeds gave only %v", outcomes)
	}
}

func TestCrashDoesNotTearUnlessTold(t *testing.T) {
	for seed := range uint64(64) {
		c := NewCrash(NewMemory(), 0, seed)
		_ = c.Put(t.Context(), "c", []byte("third"))
		if third, there := c.Survivor().Object("c"); there && string(third) != "third" {
			t.Fatalf("seed %d: the cut object holds %q", seed, third)
		}
	}
}

func TestCrashCutsDeletesToo(t *testing.T) {
	base := NewMemory()
	put(t, base, "a", "x")
	there := 0
	for seed := range uint64(32) {
		c := NewCrash(base, 0, seed)
		if err := c.Delete(t.Context(), "a"); !errors.Is(err, ErrCrashed) {
			t.Fatal(err)
		}
		there += len(c.Survivor().Names())
	}
	if there == 0 || there == 32 {
		t.Errorf("of 32 cut deletes %d left the object", there)
	}
	if len(base.Names()) != 1 {
		t.Error("the base was changed")
	}
}
