package main

import (
	"testing"
	"time"
)

// Each phase of an operation goes from nought to its own end, and only what stores tells of that.
func TestEachPhaseShowsItself(t *testing.T) {
	start := time.Unix(0, 0)
	tr, m := newTracker(start), newMeter(start)
	second := 0
	shows := func(want string) {
		t.Helper()
		second++
		if got := m.measure(start.Add(time.Duration(second)*time.Second), tr.poll()).bar(200); got != want {
			t.Errorf("it shows %q, want %q", got, want)
		}
	}
	tr.Phase("building", false)
	tr.Expect(10 << 20)
	tr.Read(8 << 20)
	tr.Entry()
	shows("building [================    ] 80%  8.0 MiB of 10 MiB  0 B/s  1 file")
	tr.Read(2 << 20)
	shows("building [=================== ] 99%  10 MiB of 10 MiB  2.0 MiB/s  1 file")
	tr.Phase("swapping", false)
	shows("swapping")
	tr.Phase("saving what was replaced", true)
	tr.Expect(4 << 20)
	shows("saving what was replaced [                    ]  0%  0 B of about 4.0 MiB  0 B/s  0 B stored anew")
	tr.Read(1 << 20)
	tr.Stored(100)
	shows("saving what was replaced [=====               ] 25%  1.0 MiB of about 4.0 MiB  3.0s left  1.0 MiB/s  100 B stored anew")
	if s := tr.counts.Snapshot(start); s.Read != 11<<20 || s.Stored != 100 {
		t.Errorf("the record is told %+v", s.Counts)
	}
}
