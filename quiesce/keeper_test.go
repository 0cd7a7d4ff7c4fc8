package quiesce

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// quick is a site that answers at once.
var quick = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func newKeeper(t *testing.T, site http.Handler) *Keeper {
	t.Helper()
	return &Keeper{Gate: &Gate{Site: site}, Record: Record(filepath.Join(t.TempDir(), "state")), Log: log.New(io.Discard, "", 0)}
}

func acquire(t *testing.T, k *Keeper, mode Mode) *Lease {
	t.Helper()
	l, err := k.Acquire(t.Context(), Request{Mode: mode, Holder: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// started takes over and starts, as a gate does.
func started(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.TakeOver(); err != nil {
		t.Fatal(err)
	}
	k.Start(t.Context())
}

// coming is a request that is on its way.
type coming struct {
	code int
	took time.Duration
}

func comes(g *Gate, all *sync.WaitGroup) *coming {
	v := &coming{}
	all.Go(func() {
		start := time.Now()
		v.code = get(g, "/").Code
		v.took = time.Since(start)
	})
	synctest.Wait()
	return v
}

// How a lease ends decides what the visitor who waits is answered, and when.
func TestHowALeaseEnds(t *testing.T) {
	const whole, broken = true, false
	for _, c := range []struct {
		name   string
		mode   Mode
		end    func(*Keeper, *Lease)
		code   int
		after  time.Duration
		report bool // Whole
		cause  error
	}{
		{"mark, released", Mark, func(_ *Keeper, l *Lease) { time.Sleep(time.Second); l.Release() }, 200, time.Second, whole, nil},
		{"mark, holder gone", Mark, func(_ *Keeper, l *Lease) { time.Sleep(time.Second); l.Drop() }, 200, time.Second, broken, ErrLost},
		{"mark, overdue", Mark, func(_ *Keeper, l *Lease) { time.Sleep(time.Hour); l.Release() }, 200, DefaultMaxHold, broken, ErrOverdue},
		{"mark, by force", Mark, func(k *Keeper, _ *Lease) { time.Sleep(time.Second); k.Force() }, 200, time.Second, broken, ErrLost},
		{"mark, the gate ends", Mark, func(k *Keeper, _ *Lease) { time.Sleep(time.Second); k.Stop() }, 200, time.Second, broken, ErrLost},
		{"mark is not settled", Mark, func(k *Keeper, l *Lease) { time.Sleep(time.Second); k.Settled(); time.Sleep(time.Second); l.Release() }, 200, 2 * time.Second, whole, nil},
		{"swap, released", Swap, func(_ *Keeper, l *Lease) { time.Sleep(time.Second); l.Release() }, 200, time.Second, whole, nil},
		{"swap, overdue, then released", Swap, func(_ *Keeper, l *Lease) { time.Sleep(time.Hour); l.Release() }, 503, DefaultMaxHold, whole, nil},
		{"swap, holder gone, then settled", Swap, func(k *Keeper, l *Lease) { l.Drop(); time.Sleep(time.Second); k.Settled() }, 200, time.Second, whole, nil},
		{"swap, holder gone for long", Swap, func(k *Keeper, l *Lease) { l.Drop(); time.Sleep(time.Hour); k.Settled() }, 503, DefaultMaxHold, whole, nil},
		{"swap is not settled while its holder lives", Swap, func(k *Keeper, l *Lease) { k.Settled(); time.Sleep(time.Second); l.Release() }, 200, time.Second, whole, nil},
		{"swap, by force", Swap, func(k *Keeper, l *Lease) { time.Sleep(time.Second); k.Force() }, 200, time.Second, broken, ErrLost},
		{"swap, released while the gate ends", Swap, func(k *Keeper, l *Lease) {
			time.AfterFunc(time.Second, func() { l.Release() })
			k.Stop()
		}, 200, time.Second, whole, nil},
		{"swap, the gate ends", Swap, func(k *Keeper, l *Lease) { k.Stop(); l.Release() }, 503, DefaultMaxHold, whole, nil},
		{"swap, orphaned, the gate ends", Swap, func(k *Keeper, l *Lease) { l.Drop(); k.Stop(); l.Release() }, 503, 0, whole, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t, quick)
				var all sync.WaitGroup
				l := acquire(t, k, c.mode)
				v := comes(k.Gate, &all)
				c.end(k, l)
				all.Wait()
				if v.code != c.code || v.took != c.after {
					t.Errorf("the visitor was answered %d after %s, want %d after %s", v.code, v.took, c.code, c.after)
				}
				<-l.done
				if l.report.Whole != c.report || !errors.Is(l.Cause(), c.cause) || l.report.Requests != 1 {
					t.Errorf("the report is %+v, its cause %v; want whole %v, %v", l.report, l.Cause(), c.report, c.cause)
				}
				if cause := l.Cause(); cause != nil && strings.Contains(cause.Error(), "\n") {
					t.Errorf("the cause is no line: %q", cause)
				}
				if s := k.Status(); s.State != Open || s.Holder != "" {
					t.Errorf("in the end the gate is %+v", s)
				}
				if _, err := os.Stat(string(k.Record)); err == nil {
					t.Error("the record is still there")
				}
				if again := comes(k.Gate, &all); again.code != 200 {
					t.Errorf("who came after was answered %d", again.code)
				}
			})
		})
	}
}

func TestTwoHoldersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, quick)
		first := acquire(t, k, Mark)
		if _, err := k.Acquire(t.Context(), Request{Mode: Mark}); !errors.Is(err, ErrBusy) {
			t.Errorf("the second holder was told %v", err)
		}
		if r := first.Release(); !r.Whole {
			t.Errorf("the first holder's report is %+v", r)
		}
		acquire(t, k, Swap).Release()
	})
}

func TestRunningRequestsAreNamedAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &slow{takes: time.Hour})
		var all sync.WaitGroup
		comes(k.Gate, &all)
		start := time.Now()
		_, err := k.Acquire(t.Context(), Request{Mode: Mark, Drain: 2 * time.Second})
		running, ok := errors.AsType[*RunningError](err)
		if !errors.Is(err, ErrRunning) || !ok || running.Path != "/" || time.Since(start) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if s := k.Gate.State(); s != Open {
			t.Errorf("the gate is %s", s)
		}
		all.Wait()
	})
}

// A holder that dies while it waits leaves nothing held.
func TestAHolderGoneWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &slow{takes: time.Hour})
		var all sync.WaitGroup
		comes(k.Gate, &all)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := k.Acquire(ctx, Request{Mode: Swap}); !errors.Is(err, ErrLost) {
			t.Errorf("it ended with %v", err)
		}
		if s := k.Gate.State(); s != Open {
			t.Errorf("the gate is %s", s)
		}
		all.Wait()
	})
}

// An orphaned lease is recovered from, again and again until that succeeds.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, quick)
		tries := 0
		k.Recover = func(context.Context) error {
			if tries++; tries < 4 {
				return errors.New("not yet")
			}
			return nil
		}
		l := acquire(t, k, Swap)
		var all sync.WaitGroup
		v := comes(k.Gate, &all)
		l.Drop()
		all.Wait()
		// At once, after 1, 2 and 4 seconds more.
		if tries != 4 || v.code != 200 || v.took != 7*time.Second {
			t.Errorf("after %d tries the visitor was answered %d after %s", tries, v.code, v.took)
		}
		k.Stop()
	})
}

// What a keeper that was killed under a lease of mode Swap has left keeps the gate
// shut until the environment is whole.
func TestAGateKilledInTheMiddleOfASwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		killed := newKeeper(t, quick)
		acquire(t, killed, Swap).overdue.Stop()
		k := newKeeper(t, quick)
		k.Record = killed.Record
		started(t, k)
		if code := get(k.Gate, "/").Code; code != http.StatusServiceUnavailable {
			t.Errorf("a visitor was answered %d", code)
		}
		if s := k.Status(); s.State != Refusing || !s.Orphan {
			t.Errorf("the gate is %+v", s)
		}
		k.Settled()
		if code := get(k.Gate, "/").Code; code != http.StatusOK {
			t.Errorf("afterwards a visitor was answered %d", code)
		}
		k.Stop()
		if left, err := k.Record.load(); err != nil || left.Mode != "" {
			t.Errorf("the record holds %+v, %v", left, err)
		}
	})
}

// Even where the record is lost with the machine, a restore that is half done keeps
// the gate shut.
func TestRecoveryAtStart(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int
	}{{"nothing to do", nil, 200}, {"somebody is at work", ErrRecoveryBusy, 200}, {"half a restore", errors.New("the database is down"), 503}} {
		synctest.Test(t, func(t *testing.T) {
			k := newKeeper(t, quick)
			start := time.Now()
			k.Recover = func(context.Context) error {
				if time.Since(start) > 10*time.Second {
					return nil
				}
				return c.err
			}
			started(t, k)
			if code := get(k.Gate, "/").Code; code != c.code {
				t.Errorf("%s: a visitor was answered %d, want %d", c.name, code, c.code)
			}
			time.Sleep(time.Minute)
			if code := get(k.Gate, "/").Code; code != 200 {
				t.Errorf("%s: in the end a visitor was answered %d", c.name, code)
			}
			k.Stop()
		})
	}
}

// Whoever comes before a gate has looked after what another has left is told to wait:
// he would write down his own over it.
func TestNobodyHoldsAGateThatStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, quick)
		k.Recover = func(context.Context) error { time.Sleep(time.Second); return nil }
		if err := k.TakeOver(); err != nil {
			t.Fatal(err)
		}
		busy := func(when string) {
			if _, err := k.Acquire(t.Context(), Request{Mode: Mark}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "a gate that starts") {
				t.Errorf("%s, who wanted to hold was told %v", when, err)
			}
		}
		busy("before it looks")
		time.AfterFunc(time.Second/2, func() { busy("while it looks") })
		k.Start(t.Context())
		acquire(t, k, Mark).Release()
		k.Stop()
	})
}

func TestRecordRejects(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":         "nonsense",
		"another version": `{"version":2}`,
		"another mode":    `{"version":1,"mode":"hold"}`,
	} {
		r := Record(filepath.Join(t.TempDir(), "state"))
		if err := os.WriteFile(string(r), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.load(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// A file that a crash of the machine has left empty keeps no gate from starting.
func TestAnEmptyRecord(t *testing.T) {
	k := newKeeper(t, quick)
	if err := os.WriteFile(string(k.Record), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	started(t, k)
	if code := get(k.Gate, "/").Code; code != http.StatusOK {
		t.Errorf("a visitor was answered %d", code)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"mode":"swap","holder":"restore 2ca4d9","frozen":[{"cgroup":"/x"},{"pid":4,"start":5}],"hooked":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var left record
		if err := left.decode(data, "state"); err != nil {
			return
		}
		r := Record(filepath.Join(t.TempDir(), "state"))
		if err := r.store(left); err != nil {
			t.Fatal(err)
		}
		if again, err := r.load(); err != nil || again.Mode != left.Mode || len(again.Frozen) != len(left.Frozen) {
			t.Fatalf("%+v became %+v: %v", left, again, err)
		}
	})
}
