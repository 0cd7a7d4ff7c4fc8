package activity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func acquire(t *testing.T, objects Objects, holder Holder, now func() time.Time) *Lease {
	t.Helper()
	l, err := Acquire(t.Context(), objects, place, holder, now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l *Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// kill ends a holder without a trace, as kill -9 on its machine does.
func kill(l *Lease) {
	l.stop()
	l.beats.Wait()
}

// wantBusy expects the refusal to name holder.
func wantBusy(t *testing.T, err error, holder Holder) {
	t.Helper()
	var busy *BusyError
	if !errors.As(err, &busy) {
		t.Errorf("error is %v, want a BusyError", err)
	} else if busy.Activity != holder.Activity || busy.Host != holder.Process.Host {
		t.Errorf("busy with %+v, want %+v", busy, holder)
	}
}

// The margins hold each other up.
func TestTimesOfALease(t *testing.T) {
	for what, ok := range map[string]bool{
		"a living holder is heard of while it is watched":            beatEvery+answerWithin < confirmFor,
		"some heartbeats may fail before a holder looks stale":       3*(beatEvery+answerWithin) < staleAfter,
		"a holder gives up before anybody takes over":                staleAfter+3*retryEvery < staleAfter+confirmFor,
		"a number stays until some heartbeats later":                 lingerFor >= 3*beatEvery,
		"what is superseded goes before its lease can be taken over": lingerFor < staleAfter,
		"an operation that reports seldom is not taken for dead":     3*(aliveEvery+writeEvery+answerWithin) > staleAfter && aliveEvery+writeEvery+answerWithin < staleAfter,
		"eight digits last for decades of heartbeats":                time.Duration(lastNumber)*beatEvery > 40*365*24*time.Hour,
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

func TestLeaseExcludes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		began := time.Now()
		l := acquire(t, m, on("web1"), time.Now)
		time.Sleep(3 * time.Minute)
		asked := time.Now()
		_, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
		wantBusy(t, err, on("web1"))
		var busy *BusyError
		if errors.As(err, &busy); !busy.Since.Equal(began) || busy.PID != 4711 || busy.Kind != Create {
			t.Errorf("busy with %+v", busy)
		}
		for _, part := range []string{"create", on("web1").Activity, "web1", "4711", "2000", "wait"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the message %q does not tell %q", err, part)
			}
		}
		if other := acquireElsewhere(t, m); other != nil {
			t.Errorf("another place: %v", other)
		}
		release(t, l)
		release(t, acquire(t, m, on("web22"), time.Now))
		if took := time.Since(asked); took != 0 {
			t.Errorf("refusal and acquisition took %v", took)
		}
		release(t, l)
	})
}

func acquireElsewhere(t *testing.T, m *memory) error {
	l, err := Acquire(t.Context(), m, "ffffffffffffffffffff", on("web22"), time.Now)
	if err != nil {
		return err
	}
	return l.Release()
}

func TestLeaseLeavesFewObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		most := 0
		count := func() { most = max(most, len(m.names())) }
		l := acquire(t, m, on("web1"), time.Now)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			count()
		}
		if err := context.Cause(l.Context()); err != nil {
			t.Error(err)
		}
		release(t, l)
		for range 100 {
			time.Sleep(time.Hour)
			l := acquire(t, m, on("web1"), time.Now)
			count()
			release(t, l)
		}
		if most > 8 || len(m.names()) > 4 {
			t.Errorf("up to %d objects, and in the end %q", most, m.names())
		}
	})
}

// However many try at once, whatever is there and however slow the storage is:
// one gets the place, and the others are told by whom it is held.
func TestContendersRace(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, m *memory){
		"nothing there": func(*testing.T, *memory) {},
		"released": func(t *testing.T, m *memory) {
			release(t, acquire(t, m, on("old"), time.Now))
		},
		"stale": func(t *testing.T, m *memory) {
			kill(acquire(t, m, on("old"), time.Now))
			time.Sleep(staleAfter)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 20 {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					prepare(t, m)
					raceOnce(t, m, round)
				})
			}
		})
	}
}

func raceOnce(t *testing.T, m *memory, round int) {
	const contenders = 16
	var group sync.WaitGroup
	leases := make([]*Lease, contenders)
	errs := make([]error, contenders)
	for i := range contenders {
		slow := &link{m, func(_ context.Context, _ string, do func() error) error {
			time.Sleep(time.Duration((i*7+round*13)%5) * time.Millisecond)
			return do()
		}}
		group.Go(func() {
			leases[i], errs[i] = Acquire(t.Context(), slow, place, on(fmt.Sprint("web", i)), time.Now)
		})
	}
	group.Wait()
	winner := -1
	for i, l := range leases {
		if l != nil && winner >= 0 {
			t.Errorf("both %d and %d hold the place", winner, i)
		}
		if l != nil {
			winner = i
		}
	}
	if winner < 0 {
		t.Fatalf("nobody got the place: %v", errors.Join(errs...))
	}
	for i, err := range errs {
		if i != winner {
			wantBusy(t, err, on(fmt.Sprint("web", winner)))
		}
	}
	time.Sleep(5 * time.Minute)
	if err := context.Cause(leases[winner].Context()); err != nil {
		t.Errorf("the winner's context: %v", err)
	}
	release(t, leases[winner])
}

// Every answer to a change gets lost once in a while, though the change was made.
func TestLostAnswers(t *testing.T) {
	for every := 1; every <= 5; every++ {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			total := 0
			unreliable := &link{m, func(_ context.Context, op string, do func() error) error {
				err := do()
				if total++; op == "create" && total%every == 0 && err == nil {
					return errors.New("connection reset")
				}
				return err
			}}
			for range 10 {
				l := acquire(t, unreliable, on("web1"), time.Now)
				time.Sleep(100 * time.Second)
				if err := context.Cause(l.Context()); err != nil {
					t.Errorf("every %d: %v", every, err)
				}
				if err := l.Release(); err != nil && every > 1 {
					t.Error(err)
				}
			}
		})
	}
}

// A heartbeat was written, and then the connection was gone for a while: the
// holder finds it in its way, and knows it as its own.
func TestOwnHeartbeatInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down, happened atomic.Bool
		broken := errors.New("connection reset")
		m := newMemory()
		l := acquire(t, &link{m, func(_ context.Context, _ string, do func() error) error {
			if down.Load() {
				return broken
			}
			err := do()
			if m.written() == 3 && happened.CompareAndSwap(false, true) {
				down.Store(true)
				time.AfterFunc(61*time.Second, func() { down.Store(false) })
				return broken
			}
			return err
		}}, on("web1"), time.Now)
		time.Sleep(10 * time.Minute)
		if err := context.Cause(l.Context()); err != nil {
			t.Error(err)
		}
		release(t, l)
	})
}

// A number that is taken by nobody knows whom is not yet lost.
func TestNumberThatCannotBeRead(t *testing.T) {
	broken := errors.New("connection reset")
	m := newMemory()
	_, err := Acquire(t.Context(), &link{m, func(_ context.Context, op string, do func() error) error {
		switch op {
		case "create":
			return fs.ErrExist
		case "read":
			return broken
		}
		return do()
	}}, place, on("web1"), time.Now)
	if !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}

// Who has lost the lease has nothing to give back, and no error to report.
func TestReleaseOfALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		m := newMemory()
		l := acquire(t, &link{m, func(_ context.Context, _ string, do func() error) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return do()
		}}, on("web1"), time.Now)
		down.Store(true)
		<-l.Context().Done()
		release(t, l)
	})
}

// TestADamagedHeartbeatBlocksNobodyForGood: its holder, if he lives, is heard of again
// while the place is watched; else it is taken over.
func TestADamagedHeartbeatBlocksNobodyForGood(t *testing.T) {
	for what, read := range map[string]damaged{
		"undecodable": {data: []byte("damaged")},
		"unreadable":  {err: fmt.Errorf("does not open: %w", fs.ErrInvalid)},
	} {
		for _, lives := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				read.memory, read.name = newMemory(), fmt.Sprintf("leases/%s/%08d", place, 1)
				l := acquire(t, read.memory, on("web1"), time.Now)
				if lives {
					defer release(t, l)
				} else {
					kill(l)
				}
				began := time.Now()
				next, err := Acquire(t.Context(), &read, place, on("web2"), time.Now)
				switch {
				case lives:
					wantBusy(t, err, on("web1"))
				case err != nil || time.Since(began) < confirmFor:
					t.Errorf("%s: taken over after %v: %v", what, time.Since(began), err)
				default:
					release(t, next)
				}
			})
		}
	}
}

// damaged is a memory of which one object was damaged.
type damaged struct {
	*memory
	name string
	data []byte
	err  error
}

func (d *damaged) Read(ctx context.Context, name string) ([]byte, error) {
	if name == d.name {
		return d.data, d.err
	}
	return d.memory.Read(ctx, name)
}

func TestRefusals(t *testing.T) {
	m := newMemory()
	bad := on("web1")
	bad.Activity = "x"
	for name, acquire := range map[string]func() (*Lease, error){
		"place":  func() (*Lease, error) { return Acquire(t.Context(), m, "../..", on("web1"), time.Now) },
		"holder": func() (*Lease, error) { return Acquire(t.Context(), m, place, bad, time.Now) },
	} {
		if _, err := acquire(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	_, err := Acquire(t.Context(), &link{m, func(context.Context, string, func() error) error { return broken }}, place, on("web1"), time.Now)
	if !errors.Is(err, broken) || errors.Is(err, fs.ErrExist) {
		t.Errorf("error is %v", err)
	}
}
