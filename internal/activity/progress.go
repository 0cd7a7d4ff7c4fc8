package activity

import (
	"math"
	"sync"
	"time"
)

// Progress counts what an operation has done. It may be used from several
// goroutines.
type Progress struct {
	mu      sync.Mutex
	counts  Counts
	done    bool
	percent int      // the highest that was said
	samples []sample // what the rate is computed from, ascending
}

// Counts is what was counted.
type Counts struct {
	Expected int64 `json:"expected"` // bytes that there are to deal with, as far as known
	Read     int64 `json:"read"`     // bytes read, from services and mounts or from the repository
	Kept     int64 `json:"kept"`     // bytes that need not be read, being known
	Stored   int64 `json:"stored"`   // bytes stored anew
	Files    int64 `json:"files"`    // files dealt with
}

// Status is a Progress at one moment.
type Status struct {
	Counts
	// Percent is an estimate that never goes back; 100 only when done.
	Percent int
	// Rate is how many bytes per second were read or kept lately.
	Rate float64
	// Left is the time that is left at that rate; negative where nothing can be said.
	Left time.Duration
}

// sample is how many bytes had been dealt with at some time.
type sample struct {
	at    time.Time
	bytes int64
}

const (
	sampleEvery = time.Second
	rateOver    = 30 * time.Second
	maxLeft     = 1000 * time.Hour // beyond this nobody believes an estimate
)

// NewProgress returns a progress of nothing, begun now.
func NewProgress(now time.Time) *Progress {
	return &Progress{samples: []sample{{at: now}}}
}

// Add adds to the counts.
func (p *Progress) Add(n Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Expected += n.Expected
	p.counts.Read += n.Read
	p.counts.Kept += n.Kept
	p.counts.Stored += n.Stored
	p.counts.Files += n.Files
}

// Total returns what was counted so far.
func (p *Progress) Total() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Done says that everything is done.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
}

// Snapshot returns the state at a moment, which is not before that of an earlier
// call.
func (p *Progress) Snapshot(now time.Time) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Counts: p.counts, Left: -1}
	bytes := p.counts.Read + p.counts.Kept
	s.Rate = p.rate(now, bytes)
	if left := p.counts.Expected - bytes; p.counts.Expected > 0 && s.Rate > 0 {
		if seconds := max(0, float64(left)/s.Rate); seconds < maxLeft.Seconds() {
			s.Left = time.Duration(seconds * float64(time.Second))
		}
	}
	if p.done {
		p.percent, s.Left = 100, 0
	} else if p.counts.Expected > 0 {
		share := math.Floor(100 * float64(bytes) / float64(p.counts.Expected))
		p.percent = max(p.percent, int(min(share, 99)))
	}
	s.Percent = p.percent
	return s
}

// rate remembers bytes and returns bytes per second over the time that is remembered.
func (p *Progress) rate(now time.Time, bytes int64) float64 {
	for len(p.samples) > 1 && now.Sub(p.samples[1].at) >= rateOver {
		p.samples = p.samples[1:]
	}
	from := p.samples[0]
	if now.Sub(p.samples[len(p.samples)-1].at) >= sampleEvery {
		p.samples = append(p.samples, sample{now, bytes})
	}
	if elapsed := now.Sub(from.at); elapsed > 0 {
		return float64(bytes-from.bytes) / elapsed.Seconds()
	}
	return 0
}
