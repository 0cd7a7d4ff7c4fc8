package quiesce

import (
	"fmt"
	"time"
)

// stillRunning describes the requests that go on.
func (g *Gate) stillRunning() *RunningError {
	oldest := g.running.first
	e := &RunningError{Count: g.running.n, Method: brief(oldest.method), Path: brief(oldest.path), For: time.Since(oldest.since)}
	for v := oldest; v != nil; v = v.next {
		if v.upload.isComing() {
			e.Coming++
		}
	}
	if oldest.upload.isComing() {
		e.Received, e.Expected = oldest.upload.received.Load(), oldest.upload.expected
	}
	return e
}

// RunningError says that requests did not finish in time.
type RunningError struct {
	Count  int
	Coming int    // of those, whose visitors are still sending them
	Method string // of the oldest
	Path   string
	For    time.Duration
	// Of the oldest, if it is still being sent: bytes that have come, and those that
	// are to come in all; below 0 where its visitor does not say.
	Received, Expected int64
}

func (e *RunningError) Error() string {
	text := fmt.Sprintf("%d request(s) were still running, the oldest %s %s for %s", e.Count, e.Method, e.Path, e.For.Round(time.Millisecond))
	switch {
	case e.Coming == 0:
		return text
	case e.Expected > 0:
		text += fmt.Sprintf(", of which %d of %d bytes had come", e.Received, e.Expected)
	case e.Expected < 0:
		text += fmt.Sprintf(", of which %d bytes had come", e.Received)
	}
	return fmt.Sprintf("%s; %d of them are still being sent by their visitors", text, e.Coming)
}
