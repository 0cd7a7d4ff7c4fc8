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
		"a holder gives up before anybody takes over":                staleAfter+retryEvery < staleAfter+confirmFor,
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

func TestTakeOverOnTheSameMachine(t *testing.T) {
	self, ended := here(t), dead(t)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		kill(acquire(t, m, ended, time.Now))
		began := time.Now()
		l := acquire(t, m, self, time.Now)
		if took := time.Since(began); took != 0 {
			t.Errorf("taking over from a process that is gone took %v", took)
		}
		_, err := Acquire(t.Context(), m, place, ended, time.Now)
		wantBusy(t, err, self)
		release(t, l)
	})
}

func TestTakeOverFromAnotherMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		kill(acquire(t, m, on("web1"), time.Now))
		died := time.Now()
		for time.Since(died) < staleAfter {
			_, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
			wantBusy(t, err, on("web1"))
			time.Sleep(time.Second)
		}
		l := acquire(t, m, on("web22"), time.Now)
		if took := time.Since(died); took < staleAfter+confirmFor || took > staleAfter+confirmFor+2*watchEvery {
			t.Errorf("taken over after %v", took)
		}
		release(t, l)
	})
}

// A clock that is wrong never makes a living holder look dead, and never a dead
// one alive for more than some minutes.
func TestClocksThatAreWrong(t *testing.T) {
	for _, wrong := range []time.Duration{-24 * time.Hour, -time.Hour, -3 * time.Minute, -2 * time.Minute, -10 * time.Second,
		0, 10 * time.Second, 16 * time.Second, 3 * time.Minute, time.Hour, 24 * time.Hour} {
		t.Run(fmt.Sprint("holder by ", wrong), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				l := acquire(t, m, on("web1"), off(wrong))
				for range 20 {
					began := time.Now()
					_, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
					wantBusy(t, err, on("web1"))
					if took := time.Since(began); took > beatEvery+watchEvery {
						t.Errorf("the refusal took %v", took)
					}
					time.Sleep(7 * time.Second)
				}
				kill(l)
				died := time.Now()
				for {
					l, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
					if err == nil {
						release(t, l)
						break
					}
					time.Sleep(time.Second)
				}
				if took := time.Since(died); took < confirmFor || took > 2*staleAfter+confirmFor {
					t.Errorf("the dead holder's place was taken after %v", took)
				}
			})
		})
	}
}

// A holder that slept goes on where nobody came, and is told where somebody did:
// even if so much has happened that its next number is free again.
func TestHolderThatSlept(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, m *memory)
		lost      bool
	}{
		"nobody came": {func(*testing.T, *memory) { time.Sleep(10 * time.Minute) }, false},
		"somebody holds the place": {func(t *testing.T, m *memory) {
			time.Sleep(staleAfter)
			l := acquire(t, m, on("web22"), time.Now)
			t.Cleanup(func() { kill(l) })
		}, true},
		"somebody held it for long": {func(t *testing.T, m *memory) {
			time.Sleep(staleAfter)
			l := acquire(t, m, on("web22"), time.Now)
			time.Sleep(time.Hour)
			release(t, l)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				awake := make(chan struct{})
				var asleep atomic.Bool
				l := acquire(t, &link{m, func(_ context.Context, op string, do func() error) error {
					if asleep.Load() {
						<-awake
					}
					return do()
				}}, on("web1"), time.Now)
				time.Sleep(time.Minute)
				asleep.Store(true)
				c.meanwhile(t, m)
				asleep.Store(false)
				close(awake)
				time.Sleep(beatEvery)
				synctest.Wait()
				if cause := context.Cause(l.Context()); errors.Is(cause, ErrLost) != c.lost {
					t.Errorf("the holder's context: %v; want it lost: %v", cause, c.lost)
				}
				release(t, l)
			})
		})
	}
}

// A holder that cannot write gives up before anybody else can take over; one whose
// storage comes back in time goes on.
func TestHolderWithoutStorage(t *testing.T) {
	for _, away := range []time.Duration{90 * time.Second, time.Hour} {
		for _, answer := range []string{"refused", "silence"} {
			t.Run(fmt.Sprint(away, " ", answer), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { holderWithoutStorage(t, away, answer == "silence") })
			})
		}
	}
}

func holderWithoutStorage(t *testing.T, away time.Duration, silence bool) {
	m := newMemory()
	var unplugged atomic.Bool
	l := acquire(t, &link{m, func(ctx context.Context, _ string, do func() error) error {
		if !unplugged.Load() {
			return do()
		}
		if silence {
			<-ctx.Done()
		}
		return errors.New("connection refused")
	}}, on("web1"), time.Now)
	began := time.Now()
	unplugged.Store(true)
	plugged := time.AfterFunc(away, func() { unplugged.Store(false) })
	defer plugged.Stop()
	var taken time.Time
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group.Go(func() {
		for ctx.Err() == nil {
			if other, err := Acquire(ctx, m, place, on("web22"), time.Now); err == nil {
				taken = time.Now()
				_ = other.Release()
				return
			}
			_ = sleep(ctx, time.Second)
		}
	})
	time.Sleep(away + time.Minute)
	synctest.Wait()
	cause := context.Cause(l.Context())
	if away < staleAfter {
		if cause != nil || !taken.IsZero() {
			t.Errorf("after %v without storage: %v, taken at %v", away, cause, taken)
		}
		cancel()
		release(t, l)
		return
	}
	if !errors.Is(cause, ErrLost) || !strings.Contains(cause.Error(), "connection refused") && !silence {
		t.Errorf("the holder's context: %v", cause)
	}
	if taken.IsZero() || taken.Sub(began) < staleAfter+retryEvery {
		t.Errorf("taken over after %v", taken.Sub(began))
	}
	release(t, l)
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

func TestRefusals(t *testing.T) {
	m := newMemory()
	bad := on("web1")
	bad.Activity = "x"
	for name, acquire := range map[string]func() (*Lease, error){
		"place":  func() (*Lease, error) { return Acquire(t.Context(), m, "../..", on("web1"), time.Now) },
		"holder": func() (*Lease, error) { return Acquire(t.Context(), m, place, bad, time.Now) },
		"damage": func() (*Lease, error) {
			m.objects["leases/"+place+"/00000007"] = []byte("damaged")
			return Acquire(t.Context(), m, place, on("web1"), time.Now)
		},
	} {
		if _, err := acquire(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Acquire(t.Context(), m, place, on("web1"), time.Now)
	if !strings.Contains(err.Error(), "leases/"+place+"/00000007") || !strings.Contains(err.Error(), "remove") {
		t.Errorf("the message %q names no object or no remedy", err)
	}
	broken := errors.New("broken")
	_, err = Acquire(t.Context(), &link{m, func(context.Context, string, func() error) error { return broken }}, place, on("web1"), time.Now)
	if !errors.Is(err, broken) || errors.Is(err, fs.ErrExist) {
		t.Errorf("error is %v", err)
	}
}
