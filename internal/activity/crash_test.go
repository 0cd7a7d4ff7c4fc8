package activity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever a holder has come to when it is killed, with the place fresh, released
// or stale: somebody else gets the place, within minutes.
func TestKilledAtEveryStep(t *testing.T) {
	for _, before := range []string{"fresh", "released", "stale"} {
		for _, after := range []bool{false, true} {
			steps := 0
			for n := 1; ; n++ {
				finished := false
				synctest.Test(t, func(t *testing.T) { finished = killedAt(t, before, n, after) })
				if finished {
					break
				}
				steps = n
			}
			if steps < 10 {
				t.Errorf("%s: the whole life of a lease had only %d steps", before, steps)
			}
		}
	}
}

// killedAt reports whether the holder got to its end before its n-th step.
func killedAt(t *testing.T, before string, n int, after bool) (finished bool) {
	m := newMemory()
	switch before {
	case "released":
		release(t, acquire(t, m, on("old"), time.Now))
	case "stale":
		kill(acquire(t, m, on("old"), time.Now))
		time.Sleep(staleAfter)
	}
	objects := dying(m, n, after)
	l, err := Acquire(t.Context(), objects, place, on("web1"), time.Now)
	if err == nil {
		time.Sleep(3 * time.Minute)
		kill(l)
		err = l.Release()
	}
	if err != nil && !errors.Is(err, errDead) {
		t.Errorf("killed at step %d: %v", n, err)
	}
	died := time.Now()
	for {
		l, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
		if err == nil {
			release(t, l)
			break
		}
		wantBusy(t, err, on("web1"))
		time.Sleep(time.Second)
	}
	if took := time.Since(died); took > staleAfter+confirmFor+2*watchEvery {
		t.Errorf("%s, killed at step %d: the place was taken after %v", before, n, took)
	}
	return !objects.dead
}

// Many operations on many machines with wrong clocks, a slow storage, lost answers
// and deaths: no two ever work at the same time.
func TestNoTwoWorkAtOnce(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
	}
}

func simulate(t *testing.T, seed uint64) {
	m := newMemory()
	random := rand.New(rand.NewPCG(seed, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
	defer cancel()
	var working, worked atomic.Int64
	done := make(chan struct{})
	const machines = 6
	for i := range machines {
		coin := rand.New(rand.NewPCG(seed, uint64(i)+2))
		clock := off(time.Duration(random.Int64N(int64(20*time.Minute))) - 10*time.Minute)
		go func() {
			defer func() { done <- struct{}{} }()
			for life := 0; ctx.Err() == nil; life++ {
				host := fmt.Sprintf("web%d-%d", i, life)
				operate(ctx, t, unreliable(m, rand.New(rand.NewPCG(seed, coin.Uint64()))), host, clock, coin, &working, &worked)
			}
		}()
	}
	for range machines {
		<-done
	}
	if worked.Load() < 20 {
		t.Errorf("seed %d: in 6 hours only %d operations worked", seed, worked.Load())
	}
}

// operate is one operation: it waits for the place, works, and ends or dies.
func operate(ctx context.Context, t *testing.T, objects Objects, host string, clock func() time.Time, coin *rand.Rand, working, worked *atomic.Int64) {
	_ = sleep(ctx, time.Duration(coin.Int64N(int64(time.Minute))))
	l, err := Acquire(ctx, objects, place, on(host), clock)
	if err != nil {
		return
	}
	if working.Add(1) > 1 {
		t.Errorf("%s works together with another one", host)
	}
	_ = sleep(l.Context(), time.Duration(coin.Int64N(int64(10*time.Minute))))
	working.Add(-1)
	worked.Add(1)
	if coin.IntN(3) == 0 {
		kill(l)
	} else {
		_ = l.Release()
	}
}

// unreliable answers after up to two seconds, and now and then not at all.
func unreliable(m *memory, coin *rand.Rand) *link {
	turn := make(chan struct{}, 1)
	return &link{m, func(ctx context.Context, _ string, do func() error) error {
		turn <- struct{}{}
		early := time.Duration(coin.Int64N(int64(time.Second)))
		late := time.Duration(coin.Int64N(int64(time.Second)))
		lost := coin.IntN(20)
		<-turn
		if err := sleep(ctx, early); err != nil {
			return err
		}
		if lost == 0 {
			return errors.New("connection refused")
		}
		err := do()
		if err := sleep(ctx, late); err != nil {
			return err
		}
		if lost == 1 && err == nil {
			return errors.New("connection reset")
		}
		return err
	}}
}
