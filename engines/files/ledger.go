package files

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"holdfast/engines"
)

// ledger collects what could not be made as it was: single things by name, and
// what concerns many as one loss that says how many. It may be used from several
// goroutines.
type ledger struct {
	name    string // of the service
	mu      sync.Mutex
	single  []engines.Loss
	counted map[string]*tally
	skipped int
}

type tally struct {
	n     int
	first string
}

func newLedger(name string) *ledger { return &ledger{name: name, counted: map[string]*tally{}} }

func (l *ledger) one(path, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.single = append(l.single, engines.Loss{Path: path, Reason: reason})
}

// count adds path to those that share what.
func (l *ledger) count(what, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.counted[what]
	if t == nil {
		t = &tally{first: path}
		l.counted[what] = t
	}
	t.n++
	t.first = min(t.first, path)
}

// skip counts an entry that is excluded here.
func (l *ledger) skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.skipped++
}

// staged returns all of it, in a stable order.
func (l *ledger) staged() engines.Staged {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s engines.Staged
	for what, t := range l.counted {
		reason := what
		if t.n > 1 {
			reason = fmt.Sprintf("%s: %d times, first at %s", what, t.n, t.first)
		} else {
			reason = fmt.Sprintf("%s: %s", what, t.first)
		}
		s.Losses = append(s.Losses, engines.Loss{Path: l.name, Reason: reason})
	}
	slices.SortFunc(s.Losses, func(a, b engines.Loss) int { return strings.Compare(a.Reason, b.Reason) })
	slices.SortFunc(l.single, func(a, b engines.Loss) int { return strings.Compare(a.Path, b.Path) })
	s.Losses = append(s.Losses, l.single...)
	if l.skipped > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%s: %d entries of the snapshot are excluded here now and were left out, with all beneath them", l.name, l.skipped))
	}
	return s
}
