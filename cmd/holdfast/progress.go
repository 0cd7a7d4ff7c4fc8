package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// progress is how far an operation is: what its poller reads off, all at one
// moment.
type progress struct {
	Phase      int    // which; what follows is counted from its beginning
	Step       string // what is being done now: "database"; may be ""
	Bytes      uint64 // done, kept unread included
	TotalBytes uint64 // 0 where it is not known
	Estimated  bool   // TotalBytes is a guess, from the parent snapshot
	Files      uint64 // done
	Stored     uint64 // bytes stored anew
}

// percent returns how much is done, -1 where that is not known. Only what has
// ended is 100.
func (p progress) percent() int {
	if p.TotalBytes == 0 {
		return -1
	}
	return int(min(99, 100*float64(p.Bytes)/float64(p.TotalBytes)))
}

const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 10 * time.Second
	rateOver    = 10 * time.Second // the rate is that of the last so many seconds
)

// watch shows progress until stop is called: a line that is drawn again and
// again on a terminal, a line every ten seconds elsewhere, nothing under --quiet.
// poll is called from another goroutine, not after stop has returned; stop may be
// called twice.
func (app *env) watch(poll func() progress) (stop func()) {
	if app.flags.Quiet {
		return func() {}
	}
	every := lineEvery
	if app.console.terminal {
		every = redrawEvery
	}
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		m := newMeter(time.Now())
		for {
			select {
			case <-done:
				app.console.clear()
				return
			case now := <-ticker.C:
				app.drawProgress(m.measure(now, poll()))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		watcher.Wait()
	})
}

func (app *env) drawProgress(s sample) {
	if app.console.terminal {
		app.console.draw(s.bar(app.console.width()))
		return
	}
	app.console.say("%s", s.line())
}

// meter turns progress at moments into a rate.
type meter struct {
	started time.Time
	phase   int
	past    []moment // the last rateOver, oldest first, of this phase
}

type moment struct {
	at    time.Time
	bytes uint64
}

func newMeter(now time.Time) *meter {
	return &meter{started: now, past: []moment{{at: now}}}
}

// sample is progress with what its past adds to it.
type sample struct {
	progress
	elapsed time.Duration
	rate    float64       // bytes per second
	left    time.Duration // -1 where it is not known
}

func (m *meter) measure(now time.Time, p progress) sample {
	if p.Phase != m.phase {
		m.phase, m.past = p.Phase, nil
	}
	m.past = append(m.past, moment{now, p.Bytes})
	for len(m.past) > 2 && now.Sub(m.past[1].at) >= rateOver {
		m.past = m.past[1:]
	}
	s := sample{progress: p, elapsed: now.Sub(m.started), left: -1}
	first := m.past[0]
	if seconds := now.Sub(first.at).Seconds(); seconds > 0 && p.Bytes > first.bytes {
		s.rate = float64(p.Bytes-first.bytes) / seconds
	}
	if s.rate > 0 && p.TotalBytes > p.Bytes {
		left := float64(p.TotalBytes-p.Bytes) / s.rate
		s.left = time.Duration(min(left, 1e6) * float64(time.Second))
	}
	return s
}

// facts are the parts of a progress line, the most important first.
func (s sample) facts() []string {
	if s.Bytes == 0 && s.TotalBytes == 0 && s.Files == 0 {
		return nil // it counts nothing
	}
	done := size(s.Bytes)
	if s.TotalBytes > 0 {
		about := ""
		if s.Estimated {
			about = "about "
		}
		done += " of " + about + size(max(s.TotalBytes, s.Bytes))
	}
	facts := []string{done}
	if s.left >= 0 {
		facts = append(facts, span(s.left)+" left")
	}
	facts = append(facts, size(uint64(s.rate))+"/s")
	if s.Files > 0 {
		facts = append(facts, several(s.Files, "file"))
	}
	if s.Stored > 0 || s.Estimated { // a snapshot that has stored nothing says so, what never stores does not
		facts = append(facts, size(s.Stored)+" stored anew")
	}
	return facts
}

// line is a progress line for a log.
func (s sample) line() string {
	parts := []string{span(s.elapsed)}
	if s.Step != "" {
		parts = append(parts, printable(s.Step))
	}
	if p := s.percent(); p >= 0 {
		parts = append(parts, fmt.Sprintf("%d%%", p))
	}
	return strings.Join(append(parts, s.facts()...), ", ")
}

const (
	barWidth  = 20
	leastLive = 20 // columns; narrower terminals get no more than is cut to them
)

// bar is a progress line for a terminal of that width; what does not fit is left
// out, the least important first.
func (s sample) bar(width int) string {
	width = max(width, leastLive) - 1 // the last column would wrap
	line := printable(s.Step)
	if p := s.percent(); p >= 0 {
		filled := barWidth * p / 100
		line += fmt.Sprintf(" [%s%s] %2d%%", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), p)
	}
	line = strings.TrimSpace(line)
	for _, fact := range s.facts() {
		longer := strings.TrimSpace(line + "  " + fact)
		if utf8.RuneCountInString(longer) > width {
			break
		}
		line = longer
	}
	return cut(line, width)
}
