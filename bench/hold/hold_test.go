package hold

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"time"
)

var (
	snapshots = flag.Int("snapshots", 3, "snapshots under load")
	restores  = flag.Int("restores", 1, "restores under load")
	rate      = flag.Int("rate", 100, "requests a second; every other one writes")
	out       = flag.String("out", "", "write the figures into this file, as JSON")
)

// figures are what a run comes to.
type figures struct {
	Requests    int             `json:"requests"`
	Lost        int             `json:"lost"`     // not answered with 200
	Repeated    int             `json:"repeated"` // written twice, or answered and not written
	Rate        int             `json:"rate"`
	Snapshots   int             `json:"snapshots"`
	Restores    int             `json:"restores"`
	Holds       []time.Duration `json:"holds_ns"`
	Skews       []time.Duration `json:"skews_ns"`
	LongestWait time.Duration   `json:"longest_wait_ns"`
	Broken      int             `json:"broken"`          // snapshots behind the gate whose sums differ
	BrokenOpen  int             `json:"broken_ungated"`  // the same without it
	Ungated     int             `json:"ungated"`         // of so many
	SwapWait    time.Duration   `json:"swap_wait_ns"`    // the longest during restores
	Idle        time.Duration   `json:"idle_latency_ns"` // median latency between snapshots
}

// TestNothingIsLostAndEverySumAgrees takes snapshots of a site under load, behind
// its gate, restores each beside it and adds up: in all services there are the
// same entries. Without the gate there are not, so the test can fail.
func TestNothingIsLostAndEverySumAgrees(t *testing.T) {
	w := newWorld(t)
	l := newLoad(w.gate, *rate)
	l.start(t.Context())
	time.Sleep(time.Second)
	f := figures{Rate: *rate, Snapshots: *snapshots, Restores: *restores}
	before, lost := l.seen()
	f.Idle = quantile(before, 0.5)

	var waits []time.Duration
	note := func() {
		some, fails := l.seen()
		waits, lost = append(waits, some...), append(lost, fails...)
	}
	var names []string
	for range *snapshots {
		s := w.create("master")
		names = append(names, s.Name)
		if s.Consistency != "one-instant" || s.Held == 0 {
			t.Errorf("snapshot %s is %s, held for %v", s.Name, s.Consistency, s.Held)
		}
		f.Holds, f.Skews = append(f.Holds, s.Held), append(f.Skews, s.Skew)
		note()
	}
	slices.Sort(waits)
	f.LongestWait = quantile(waits, 1)
	for f.Ungated < 3 || f.BrokenOpen == 0 && f.Ungated < 20 {
		f.Ungated++
		if w.restored("open", w.create("open").Name) != "" {
			f.BrokenOpen++
		}
	}
	for _, name := range names {
		if problem := w.restored("master", name); problem != "" {
			f.Broken++
			t.Errorf("snapshot %s was taken behind the gate, and the sums differ: %s", name, problem)
		}
	}
	note()
	f.Requests, waits = len(waits), nil
	for i := range *restores {
		w.holdfast("-e", "master", "snapshot", "restore", names[i%len(names)], "--yes")
		l.quiet(func() {
			all, err := w.site.totals(t.Context())
			w.must(err)
			if problem := differ(all); problem != "" {
				t.Errorf("after a restore under load the sums differ: %s", problem)
			}
		})
		note()
	}
	l.finish()
	note()
	slices.Sort(waits)
	f.SwapWait = quantile(waits, 1)
	f.Requests += len(waits)
	f.Lost = len(lost)
	for i, fail := range lost {
		if i < 5 {
			t.Errorf("lost: %s", fail)
		}
	}
	f.Repeated = w.repeated(l)
	if f.Lost+f.Repeated > 0 {
		t.Errorf("of %d requests %d were lost and %d repeated", f.Requests, f.Lost, f.Repeated)
	}
	if f.BrokenOpen == 0 {
		t.Errorf("without the gate all of %d snapshots have equal sums: this test cannot fail", f.Ungated)
	}
	report(t, f)
}

// restored puts a snapshot into staging and returns how its sums differ.
func (w *world) restored(environment, name string) string {
	w.Helper()
	w.holdfast("-e", environment, "snapshot", "restore", name, "--target", "staging", "--yes", "--no-safety-snapshot")
	all, err := w.staging.totals(w.Context())
	w.must(err)
	return differ(all)
}

// repeated counts the entries that were not written exactly once.
func (w *world) repeated(l *load) (n int) {
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	for id := range l.sent {
		if w.site.done[id] != 1 {
			n++
		}
	}
	for id, times := range w.site.done {
		if times > 1 || !l.sent[id] {
			n++
		}
	}
	return n
}

func report(t *testing.T, f figures) {
	t.Helper()
	slices.Sort(f.Holds)
	slices.Sort(f.Skews)
	t.Logf("%d requests at %d/s, %d lost, %d repeated; %d snapshots: held %v median, %v at most; longest wait %v; skew %v median; "+
		"sums differ in %d, without the gate in %d of %d; %d restores: longest wait %v; idle %v",
		f.Requests, f.Rate, f.Lost, f.Repeated, f.Snapshots, quantile(f.Holds, 0.5), quantile(f.Holds, 1), f.LongestWait,
		quantile(f.Skews, 0.5), f.Broken, f.BrokenOpen, f.Ungated, f.Restores, f.SwapWait, f.Idle)
	write(t, f)
}

// write puts the figures where -out says.
func write(t *testing.T, figures any) {
	t.Helper()
	if *out == "" {
		return
	}
	data, err := json.MarshalIndent(figures, "", "  ")
	if err == nil {
		err = os.WriteFile(*out, append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
