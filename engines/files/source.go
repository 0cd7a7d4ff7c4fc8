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
	name  string
	path  string // for messages
	now   func() time.Time
	open  func() (int, error)
	rules func() (*rules, error)
	clock func(root int) clock

	started clock
	precopy *tree.Entry // what Prepare stored
	result  *engines.Result
}

// Prepare copies all that changed since the parent snapshot, while it may go on
// changing.
func (s *source) Prepare(ctx context.Context, sink engines.Sink) error {
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
	w, err := s.walker(sink, false)
	if err != nil {
		return err
	}
	e, err := w.walk(ctx, root, s.name, before)
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	s.precopy = &e
	return nil
}

// Mark copies what changed since Prepare looked, and what may have.
func (s *source) Mark(ctx context.Context, sink engines.Sink) (engines.Point, error) {
	point := engines.Point{At: s.now().UTC()}
	if s.precopy == nil {
		return point, fmt.Errorf("%s: %w", s.path, errNotPrepared)
	}
	root, err := s.open()
	if err != nil {
		return point, err
	}
	defer unix.Close(root)
	w, err := s.walker(sink, true)
	if err != nil {
		return point, err
	}
	e, err := w.walk(ctx, root, s.name, s.precopy)
	if err != nil {
		return point, fmt.Errorf("copy the remainder of %s: %w", s.path, err)
	}
	slices.SortFunc(w.losses, func(a, b engines.Loss) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(w.notes)
	s.result = &engines.Result{Entries: []tree.Entry{e}, Losses: w.losses, Notes: w.notes}
	return point, nil
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

func (s *source) walker(sink engines.Sink, final bool) (*walker, error) {
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	return &walker{
		sink: sink, rules: rules, clock: s.started, final: final,
		owners: newOwners(), links: newLinks(),
	}, nil
}
