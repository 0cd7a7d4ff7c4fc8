package activity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
		0, 10 * time.Second, 16 * time.Second, 100 * time.Second, 3 * time.Minute, time.Hour, 24 * time.Hour} {
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
					asked := time.Now()
					l, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
					if err == nil {
						release(t, l)
						break
					}
					if waited := time.Since(asked); waited > 0 {
						t.Errorf("waited %v to be refused because of a dead holder", waited)
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
				machine := &asleep{memory: m}
				l := acquire(t, machine, on("web1"), time.Now)
				time.Sleep(time.Minute)
				machine.sleep()
				c.meanwhile(t, m)
				machine.wake()
				time.Sleep(2 * beatEvery)
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
	for _, away := range []time.Duration{118 * time.Second, time.Hour} {
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
	var lost atomic.Int64
	context.AfterFunc(l.Context(), func() { lost.Store(int64(time.Since(began))) })
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
	if after := time.Duration(lost.Load()); after < staleAfter || after > staleAfter+3*retryEvery {
		t.Errorf("the holder gave up after %v", after)
	}
	if taken.IsZero() || taken.Sub(began) < staleAfter+confirmFor {
		t.Errorf("taken over after %v", taken.Sub(began))
	}
	release(t, l)
}
