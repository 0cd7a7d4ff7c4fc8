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
	out       = flag.String("out", "", "write the figures into this file, as JSON; those of lost requests are added to what is in it")
)

// figures are what runs come to.
type figures struct {
	Requests    int             `json:"requests"`
	Lost        int             `json:"lost"`     // not answered with 200
	Repeated    int             `json:"repeated"` // written twice, or answered and not written
	Rate        int             `json:"rate"`
	Runs        int             `json:"runs"` // each with a site of its own
	Snapshots   int             `json:"snapshots"`
	Restores    int             `json:"restores"`
	Late        int             `json:"late"` // of these, after how many the site was not back at its rate within a minute
	Holds       []time.Duration `json:"holds_ns"`
	Skews       []time.Duration `json:"skews_ns"`
	LongestWait time.Duration   `json:"longest_wait_ns"`
	Broken      int             `json:"broken"`          // snapshots behind the gate whose sums differ
	BrokenOpen  int             `json:"broken_ungated"`  // the same without it
	Ungated     int             `json:"ungated"`         // of so many
	SwapWait    time.Duration   `json:"swap_wait_ns"`    // the longest during restores
	Idle        time.Duration   `json:"idle_latency_ns"` // median latency between snapshots, of the last run

	examples []string // of what was lost
}

// add adds the figures of an earlier run.
func (f *figures) add(earlier figures) {
	f.Requests += earlier.Requests
	f.Lost += earlier.Lost
	f.Repeated += earlier.Repeated
	f.Runs += earlier.Runs
	f.Snapshots += earlier.Snapshots
	f.Restores += earlier.Restores
	f.Late += earlier.Late
	f.Holds = append(f.Holds, earlier.Holds...)
	f.Skews = append(f.Skews, earlier.Skews...)
	f.LongestWait = max(f.LongestWait, earlier.LongestWait)
	f.Broken += earlier.Broken
	f.BrokenOpen += earlier.BrokenOpen
	f.Ungated += earlier.Ungated
	f.SwapWait = max(f.SwapWait, earlier.SwapWait)
}

// TestNothingIsLostAndEverySumAgrees takes snapshots of a site under load, behind
// its gate, and restores some of them there; then it restores each beside the site and
// adds up: in all services there are the same entries. Without the gate there are not,
// so the test can fail.
//
// It may be run several times for one result: what -out holds is added to.
func TestNothingIsLostAndEverySumAgrees(t *testing.T) {
	w := newWorld(t)
	l := w.visitors(*rate)
	f := figures{Rate: *rate, Runs: 1, Snapshots: *snapshots, Restores: *restores}
	l.settle()
	idle, _ := l.seen()
	f.Idle = quantile(idle, 0.5)

	names := w.underLoad(l, &f)
	for f.Ungated < 3 || f.BrokenOpen == 0 && f.Ungated < 20 {
		f.Ungated++
		if w.restored("open", w.create("open").Name) != "" {
			f.BrokenOpen++
		}
	}
	l.finish()
	l.check(t)
	f.note(l)
	for _, name := range names {
		if problem := w.restored("master", name); problem != "" {
			f.Broken++
			t.Errorf("snapshot %s was taken behind the gate, and the sums differ: %s", name, problem)
		}
	}
	f.Repeated = w.repeated(l)
	if f.Lost+f.Repeated > 0 {
		t.Errorf("of %d requests %d were lost and %d repeated; among them: %q", f.Requests, f.Lost, f.Repeated, f.examples)
	}
	if f.BrokenOpen == 0 {
		t.Errorf("without the gate all of %d snapshots have equal sums: this test cannot fail", f.Ungated)
	}
	report(t, f)
}

// underLoad takes the snapshots, with the restores spread among them, each of the
// snapshot before. Before each it waits until the site carries its visitors.
func (w *world) underLoad(l *load, f *figures) (names []string) {
	w.Helper()
	for i := range f.Snapshots {
		s := w.create("master")
		names = append(names, s.Name)
		if s.Consistency != "one-instant" || s.Held == 0 {
			w.Errorf("snapshot %s is %s, held for %v", s.Name, s.Consistency, s.Held)
		}
		f.Holds, f.Skews = append(f.Holds, s.Held), append(f.Skews, s.Skew)
		f.Late += l.settle()
		l.check(w.T)
		f.LongestWait = max(f.LongestWait, f.note(l))
		if i*f.Restores/f.Snapshots == (i+1)*f.Restores/f.Snapshots {
			continue
		}
		w.holdfast("-e", "master", "snapshot", "restore", s.Name, "--yes")
		f.Late += l.settle()
		f.SwapWait = max(f.SwapWait, f.note(l))
		l.quiet(func() {
			all, err := w.site.totals(w.Context())
			w.must(err)
			if problem := differ(all); problem != "" {
				w.Errorf("after a restore under load the sums differ: %s", problem)
			}
		})
	}
	return names
}

// note counts what visitors saw since the last time, and returns the longest wait.
func (f *figures) note(l *load) time.Duration {
	waits, fails := l.seen()
	f.Requests += len(waits)
	f.Lost += len(fails)
	f.examples = append(f.examples, fails...)
	f.examples = f.examples[:min(5, len(f.examples))]
	return quantile(waits, 1)
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
	if data, err := os.ReadFile(*out); err == nil {
		var earlier figures
		if err := json.Unmarshal(data, &earlier); err != nil || earlier.Rate != f.Rate {
			t.Fatalf("%s is of runs at %d requests a second, this one was at %d: remove it first; %v", *out, earlier.Rate, f.Rate, err)
		}
		f.add(earlier)
	}
	slices.Sort(f.Holds)
	slices.Sort(f.Skews)
	t.Logf("%d requests at %d/s, %d lost, %d repeated; %d snapshots: held %v median, %v at most; longest wait %v; skew %v median; "+
		"sums differ in %d, without the gate in %d of %d; %d restores: longest wait %v; late after %d; idle %v",
		f.Requests, f.Rate, f.Lost, f.Repeated, f.Snapshots, quantile(f.Holds, 0.5), quantile(f.Holds, 1), f.LongestWait,
		quantile(f.Skews, 0.5), f.Broken, f.BrokenOpen, f.Ungated, f.Restores, f.SwapWait, f.Late, f.Idle)
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
