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
	follow func(root int) (*watch, error)
	whole  func(root int) (*subvolume, error)

	began    time.Time // of Prepare
	started  clock
	walked   stat            // the root that Prepare went through
	watch    *watch          // of what happens after Prepare has looked; nil if that cannot be told
	blind    error           // why that cannot be told
	precopy  *engines.Result // what Prepare stored
	byEvents bool            // Mark looked only at what was touched
	frozen   *subvolume      // nil where the filesystem cannot snapshot the mount
	held     tree.Time       // when Mark began, by the filesystem's clock
	result   *engines.Result
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
	if s.walked, err = statAt(root, ""); err != nil {
		return err
	}
	s.started = s.clock(root)
	s.watch, s.blind = s.follow(root)
	var before *tree.Entry
	if e, ok := sink.Parent(s.name); ok && e.Type == tree.Directory {
		before = &e
	}
	// Nobody knows yet whether there will be another walk. If not, this one has to
	// take the same care.
	s.precopy, err = s.walk(ctx, sink, root, before, pass{last: s.unheld, touched: wholeTree})
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	if s.watch == nil && !s.unheld {
		var err error
		if s.frozen, err = s.whole(root); err != nil && !errors.Is(err, errNoSubvolume) {
			s.blind = fmt.Errorf("%w; %w", s.blind, err)
		}
	}
	return nil
}

// Mark copies what changed since Prepare looked, and what may have. Where
// nothing is held, and Prepare began a moment ago, it has nothing to add: what
// Prepare stored is as much at one instant as what a walk now would. But what was
// moved past the walk, from where it had not been yet to where it had, is in neither.
func (s *source) Mark(ctx context.Context, sink engines.Sink) (engines.Point, error) {
	if s.precopy == nil {
		return engines.Point{}, fmt.Errorf("%s: %w", s.path, errNotPrepared)
	}
	now := s.now()
	if s.unheld && now.Sub(s.began) < atOnce && !s.watch.anyCameOrWent() {
		s.result = s.precopy
		return engines.Point{At: s.began.UTC()}, nil
	}
	s.held = filesystemTime()
	if s.frozen != nil {
		err := s.freeze()
		if err == nil {
			return engines.Point{At: now.UTC(), Position: "a btrfs snapshot"}, nil
		}
		s.blind = err
	}
	var err error
	if s.result, err = s.remainder(ctx, sink); err != nil {
		return engines.Point{}, fmt.Errorf("copy the remainder of %s: %w", s.path, err)
	}
	return engines.Point{At: now.UTC()}, nil
}

// freeze snapshots the mount's filesystem.
func (s *source) freeze() error {
	root, replaced, err := s.reopen()
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if replaced {
		return errReplaced
	}
	return s.frozen.take()
}

// Send looks for what Mark has missed, if it did not look at everything and the
// mount is to be at one instant. All else was stored when it was read.
func (s *source) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if s.frozen != nil && s.frozen.name != "" {
		if err := s.readFrozen(ctx, sink); err != nil {
			return engines.Result{}, fmt.Errorf("copy the remainder of %s from its snapshot: %w", s.path, err)
		}
	}
	if s.result == nil {
		return engines.Result{}, fmt.Errorf("%s: %w", s.path, errNotMarked)
	}
	if s.byEvents && !s.unheld {
		if err := s.audit(ctx, sink); err != nil {
			return engines.Result{}, err
		}
	}
	return *s.result, nil
}

// Close ends the watch, and removes a snapshot of the filesystem.
func (s *source) Close() error { return errors.Join(s.watch.close(), s.frozen.close()) }

var (
	errNotPrepared = errors.New("marked without having been prepared")
	errNotMarked   = errors.New("sent without having been marked")
)

// errReplaced: of what has come, nothing is known.
var errReplaced = errors.New("another directory has taken the place of the mount")

// reopen opens the mount again, and reports whether the path leads to another
// directory by now than the one that Prepare went through, as where it is a symlink
// to the current release, or a disk was mounted there.
func (s *source) reopen() (root int, replaced bool, err error) {
	if root, err = s.open(); err != nil {
		return -1, false, err
	}
	st, err := statAt(root, "")
	if err != nil {
		unix.Close(root)
		return -1, false, err
	}
	return root, st.node != s.walked.node || st.mount != s.walked.mount, nil
}

// errLinked: a new name of a file makes no event under its old one, whose entry
// is no longer right either. Where nothing is held each name is as it was when it was
// looked at, and looking at everything gives more time to what moves.
var errLinked = errors.New("a file got another name")

// walk goes through the mount once.
func (s *source) walk(ctx context.Context, sink engines.Sink, root int, before *tree.Entry, p pass) (*engines.Result, error) {
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	if p.frozen {
		if err := rules.extend(s.frozen.mount, root); err != nil {
			return nil, err
		}
	}
	w := &walker{sink: sink, rules: rules, clock: s.started, pass: p, owners: newOwners(), links: newLinks()}
	if !p.remainder || p.touched != wholeTree {
		w.watch = s.watch // also of what has come since
	}
	e, err := w.walk(ctx, root, s.name, before)
	if err != nil {
		return nil, err
	}
	if p.touched != wholeTree && !s.unheld && w.linked.Load() {
		return nil, errLinked
	}
	slices.SortFunc(w.losses, func(a, b engines.Loss) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(w.notes)
	return &engines.Result{Entries: []tree.Entry{e}, Empty: e.Entries == 0, Losses: w.losses, Notes: w.notes}, nil
}
