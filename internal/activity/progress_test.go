package activity

import (
	"math"
	"sync"
	"testing"
	"time"
)

func TestProgressPercent(t *testing.T) {
	now := testTime
	p := NewProgress(now)
	for _, c := range []struct {
		add  Counts
		want int
	}{
		{Counts{}, 0},
		{Counts{Read: 10}, 0}, // nobody knows of how much
		{Counts{Expected: 1000}, 1},
		{Counts{Kept: 490}, 50},
		{Counts{Expected: 1000}, 50}, // it never goes back
		{Counts{Read: 200, Stored: 1 << 40}, 50},
		{Counts{Read: 500}, 60},
		{Counts{Read: 799}, 99},
		{Counts{Read: 1}, 99}, // all is read, but not done
		{Counts{Read: 1 << 50}, 99},
		{Counts{Expected: math.MaxInt64 / 2}, 99},
	} {
		p.Add(c.add)
		now = now.Add(time.Second)
		if got := p.Snapshot(now).Percent; got != c.want {
			t.Errorf("after %+v: %d %%, want %d", c.add, got, c.want)
		}
	}
	p.Done()
	if s := p.Snapshot(now); s.Percent != 100 || s.Left != 0 {
		t.Errorf("done: %+v", s)
	}
}

func TestProgressRate(t *testing.T) {
	now := testTime
	p := NewProgress(now)
	step := func(seconds int, add Counts) Status {
		p.Add(add)
		now = now.Add(time.Duration(seconds) * time.Second)
		return p.Snapshot(now)
	}
	if s := p.Snapshot(now); s.Rate != 0 || s.Left >= 0 {
		t.Errorf("at once: %+v", s)
	}
	if s := step(10, Counts{Expected: 10_000, Read: 1000}); s.Rate != 100 || s.Left != 90*time.Second {
		t.Errorf("after 10 s: %+v", s)
	}
	for range 100 {
		step(1, Counts{Read: 10})
	}
	// What was long ago does not count: the last 30 seconds gave 10 a second.
	if s := step(0, Counts{}); s.Rate != 10 || s.Left != 800*time.Second {
		t.Errorf("later: %+v", s)
	}
	if s := step(3600, Counts{}); s.Rate > 1 {
		t.Errorf("after an hour of silence: %+v", s)
	}
	if s := step(40, Counts{}); s.Rate != 0 || s.Left >= 0 {
		t.Errorf("after more silence nothing can be said: %+v", s)
	}
	if s := step(10, Counts{Kept: 20_000}); s.Left != 0 || s.Percent != 99 {
		t.Errorf("more than expected: %+v", s)
	}
	if s := p.Snapshot(now.Add(-time.Hour)); s.Rate < 0 || math.IsInf(s.Rate, 0) {
		t.Errorf("a clock that was set back: %+v", s)
	}
}

// However often one looks, the memory for the rate is bounded.
func TestProgressRemembersLittle(t *testing.T) {
	now := testTime
	p := NewProgress(now)
	for range 100_000 {
		now = now.Add(100 * time.Millisecond)
		p.Snapshot(now)
	}
	if n := len(p.samples); n > 40 {
		t.Errorf("%d samples are kept", n)
	}
}

func TestProgressOfManyGoroutines(t *testing.T) {
	p := NewProgress(testTime)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			last := 0
			for range 1000 {
				p.Add(Counts{Expected: 4, Read: 2, Kept: 1, Stored: 1, Files: 1})
				if s := p.Snapshot(testTime.Add(time.Second)); s.Percent < last {
					t.Errorf("from %d %% back to %d", last, s.Percent)
				} else {
					last = s.Percent
				}
			}
		})
	}
	group.Wait()
	want := Counts{Expected: 32_000, Read: 16_000, Kept: 8000, Stored: 8000, Files: 8000}
	if got := p.Snapshot(testTime).Counts; got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}
