package files

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// source captures one mount, or what a restore has put aside of one.
type source struct {
	name   string
	path   string // for messages
	unheld bool   // see engines.Service
	now    func() time.Time
	open   func() (int, error)
	rules  func() (*rules, error)
	clock  func(root int) clock

	began   time.Time // of Prepare
	started clock
	precopy *engines.Result // what Prepare stored
	result  *engines.Result
}

// atOnce is how long ago the pre-copy may have begun for it to be the point by
// itself. Services that are not held are marked within milliseconds of each
// other, but nothing relates what they hold closer than that: a mount that was
// gone through within a second gains nothing from being gone through again.
const atOnce = time.Second

// Prepare copies all that changed since the parent snapshot, while it may go on
// changing.
func (s *source) Prepare(ctx context.Context, sink engines.Sink) error {
	s.began = s.now()
	root, err := s.open()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	s.started = s.clock(root)
	var before *tree.Entry
	if e, ok := sink.Parent(s.name); ok && e.Type == tree.Directory {
		before = &e
	}
	// Nobody knows yet whether there will be another walk. If not, this one has to
	// take the same care.
	s.precopy, err = s.walk(ctx, sink, root, before, pass{last: s.unheld})
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	return nil
}

// Mark copies what changed since Prepare looked, and what may have. Where
// nothing is held, and Prepare began a moment ago, it has nothing to add: what
// Prepare stored is as much at one instant as what a walk now would.
func (s *source) Mark(ctx context.Context, sink engines.Sink) (engines.Point, error) {
	if s.precopy == nil {
		return engines.Point{}, fmt.Errorf("%s: %w", s.path, errNotPrepared)
	}
	now := s.now()
	if s.unheld && now.Sub(s.began) < atOnce {
		s.result = s.precopy
		return engines.Point{At: s.began.UTC()}, nil
	}
	root, err := s.open()
	if err != nil {
		return engines.Point{}, err
	}
	defer unix.Close(root)
	s.result, err = s.walk(ctx, sink, root, &s.precopy.Entries[0], pass{last: true, remainder: true})
	if err != nil {
		return engines.Point{}, fmt.Errorf("copy the remainder of %s: %w", s.path, err)
	}
	return engines.Point{At: now.UTC()}, nil
}

// Send has nothing left to do: the remainder was stored when it was read.
func (s *source) Send(context.Context, engines.Sink) (engines.Result, error) {
	if s.result == nil {
		return engines.Result{}, fmt.Errorf("%s: %w", s.path, errNotMarked)
	}
	return *s.result, nil
}

// Close has nothing to do: no descriptor outlives a call.
func (s *source) Close() error { return nil }

var (
	errNotPrepared = errors.New("marked without having been prepared")
	errNotMarked   = errors.New("sent without having been marked")
)

// walk goes through the mount once.
func (s *source) walk(ctx context.Context, sink engines.Sink, root int, before *tree.Entry, p pass) (*engines.Result, error) {
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	w := &walker{sink: sink, rules: rules, clock: s.started, pass: p, owners: newOwners(), links: newLinks()}
	e, err := w.walk(ctx, root, s.name, before)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(w.losses, func(a, b engines.Loss) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(w.notes)
	return &engines.Result{Entries: []tree.Entry{e}, Losses: w.losses, Notes: w.notes}, nil
}
