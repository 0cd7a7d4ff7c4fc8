// Package gc gives space back that no snapshot needs, while others write and
// restore. docs/gc.md is the protocol, whose steps (G1 to G12) are named here, and
// the argument for it.
//
//	Run -> cycle: resume -> announce -> await -> survey -> trace -> evacuate -> publish -> finish
//
// Everything that is decided is decided by creating the next list under
// condemned/; everything else can be done again, by anybody, at any time.
//
// Invariants:
//
//  1. Only packs in a swept group of the newest list are deleted.
//  2. What is not understood (a segment or a snapshot that cannot be read, a blob
//     that nobody has) ends the collection before it decides anything.
//  3. Memory is some bits for each copy of a blob, and some words for each pack.
package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/storage"
	"holdfast/repo"
)

// Options of Run.
type Options struct {
	// Now is asked for the time, which decides how long to wait, never what is
	// needed.
	Now func() time.Time
	// Grace is how old a deletion must be for the snapshot to be purged, and how long
	// packs stay condemned at least before they are deleted.
	Grace time.Duration
	// Settle is how long others may not see what was created or deleted.
	Settle time.Duration
	// Wait bounds the waiting for sessions.
	Wait time.Duration
	// Silent reports whether a session, of whatever kind, is to be ended. Nil: none.
	Silent func(context.Context, repo.Announced) (bool, error)
	// MaxRepack bounds what of packs to be repacked is copied, in bytes; 0: nothing
	// bounds it.
	MaxRepack int64
	// BaseRetention is how often what only lives as the base of something kept is
	// erased; 0: never.
	BaseRetention time.Duration
	// Erase does that now, and puts every pack together anew of which anything is not
	// needed: nothing of what was purged is left.
	Erase bool
	// AcceptLoss collects what only snapshots need that have vanished, and takes them
	// for purged from then on.
	AcceptLoss bool
	// DryRun changes nothing.
	DryRun bool
	// Progress is told what is being done, and how many bytes of copying that came
	// to; may be nil.
	Progress func(step string, bytes int64)
}

// DefaultGrace is Options.Grace where nobody says otherwise.
const DefaultGrace = 24 * time.Hour

// ErrVanished: snapshots are gone that nobody has deleted.
var ErrVanished = errors.New("nothing was collected, because snapshots were lost whose data may be all that is left of them")

// ErrBusy: another collection decides faster than this one.
var ErrBusy = errors.New("another collection is at work on this repository")

const (
	// maxOvertaken is how often a collection starts over.
	maxOvertaken = 5
	// maxRounds bounds how often a collection without a grace period goes round.
	maxRounds = 5
)

// Run collects. Where the storage is full it frees what can be freed with the room of
// the repository's reserve, and fails with storage.ErrFull if that is nothing.
func Run(ctx context.Context, r *repo.Repository, o Options) (report *Report, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64) {}
	}
	c := &collection{Options: o, repo: r, report: &Report{DryRun: o.DryRun,
		Accepted: []Accepted{}, Purged: []repo.Name{}, Pending: []Pending{}, Ended: []repo.Name{}}, removed: map[uint64]bool{}, finished: map[uint64]bool{}}
	if o.DryRun {
		if err := r.Refresh(ctx); err != nil { // as a reader, who writes nothing
			return nil, err
		}
		return c.report, c.run(ctx)
	}
	session, err := r.Begin(ctx, repo.Collect, o.Now) // G1
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, session.End(context.WithoutCancel(ctx))) }() // G12
	if err := session.Probe(ctx); err != nil {
		return nil, err
	}
	c.session, c.self = session, session.Name
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	if c.report.Full = c.full != nil; c.report.Full && c.report.Freed.Packs+c.report.Condemned.Packs+len(c.report.Purged) == 0 {
		return nil, c.full
	}
	return c.report, nil
}

// collection is one Run.
type collection struct {
	Options
	repo     *repo.Repository
	session  *repo.Session
	self     repo.Name // of the session
	report   *Report
	list     *repo.Condemned  // the newest, on which all rests
	removed  map[uint64]bool  // groups whose packs are gone
	finished map[uint64]bool  // and that the index does not name any more: they can be dropped
	accepted []repo.PurgedOne // losses that the next list is to note
	left     []repo.Listed    // the snapshots beside which they were missed
	full     error            // there was no room
	room     uint64           // bytes that are known to be free since then
	merged   bool             // small packs have been condemned: those that come meanwhile can wait for the next one
	erased   bool
	tainted  map[[32]byte]bool // packs that held what was erased
}

func (c *collection) run(ctx context.Context) error {
	overtaken := 0
	for round := 0; round < maxRounds; {
		again, err := c.cycle(ctx)
		if err != nil && c.isOvertaken(ctx) {
			err = repo.ErrOvertaken // what it missed, somebody else has moved
		}
		switch {
		case errors.Is(err, repo.ErrOvertaken):
			if overtaken++; overtaken == maxOvertaken {
				return ErrBusy
			}
			continue
		case errors.Is(err, storage.ErrFull) && c.full == nil:
			if err := c.noRoom(ctx, err); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case !again:
			return c.sum(ctx)
		}
		if round++; c.full != nil {
			round = 0 // each of these steps frees or condemns something
		}
	}
	return c.sum(ctx)
}

// isOvertaken reports whether the list on which this collection rests has been
// replaced by somebody else.
func (c *collection) isOvertaken(ctx context.Context) bool {
	newest, err := c.repo.Condemned(ctx)
	return err == nil && c.list != nil && newest.Number > c.list.Number && newest.By != c.self
}

// cycle does all that can be done now, and reports whether more can be done at
// once.
func (c *collection) cycle(ctx context.Context) (again bool, err error) {
	list, err := c.repo.Condemned(ctx) // G2
	if err != nil {
		return false, err
	}
	c.list = list
	if !c.DryRun {
		for _, step := range []func(context.Context) error{c.resume, c.announce, c.await} {
			if err := step(ctx); err != nil {
				return false, err
			}
		}
	}
	settled, err := c.settled(ctx)
	if err != nil {
		return false, err
	}
	// What a session committed that has just ended is to be seen.
	if err := sleep(ctx, c.Settle); err != nil {
		return false, err
	}
	s, err := c.survey(ctx, settled)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.catalog.Close()) }()
	t, err := c.trace(ctx, s)
	if err != nil {
		return false, err
	}
	if !c.DryRun && c.full == nil {
		if again, err := c.erase(ctx, s, t); again || err != nil {
			c.tainted = t.tainted
			return again, err
		}
	}
	chosen, err := c.choose(ctx, s, t)
	if err != nil {
		return false, err
	}
	if c.DryRun {
		c.foresee(s, &chosen)
		return false, nil
	}
	if c.full != nil {
		again, err = c.decideInLittleRoom(ctx, s, t, &chosen)
	} else {
		again, err = c.Grace == 0 && !chosen.empty(), c.decide(ctx, s, t, &chosen)
	}
	if err != nil {
		return false, err
	}
	return again, c.tidy(ctx, s)
}

// resume finishes what was decided by an earlier collection.
func (c *collection) resume(ctx context.Context) error {
	if !slices.ContainsFunc(c.list.Groups, func(g repo.Group) bool { return g.State == repo.GroupSwept && !c.finished[g.Number] }) {
		return nil
	}
	return c.finish(ctx, nil)
}

// decide makes the settled groups that are due swept, and what was chosen a new
// group (G8 to G10).
func (c *collection) decide(ctx context.Context, s *survey, t *tracing, chosen *selection) error {
	due := c.due(s)
	if len(due) == 0 && chosen.empty() && len(c.accepted) == 0 && !(c.erased && c.erasing()) {
		return nil
	}
	if err := c.evacuate(ctx, s, t, packsOf(c.list, due), t.kept); err != nil {
		return err
	}
	next := c.next()
	for i := range next.Groups {
		if due[next.Groups[i].Number] {
			next.Groups[i].State = repo.GroupSwept
		}
	}
	if err := c.condemn(ctx, next, chosen); err != nil {
		return err
	}
	// Nothing needs this; it lets what depends on these packs be relied on soon.
	return c.evacuate(ctx, s, t, chosen.names(), t.lasting)
}

// condemn makes what was chosen a new group of next, and publishes that.
func (c *collection) condemn(ctx context.Context, next *repo.Condemned, chosen *selection) error {
	if !chosen.empty() {
		next.Groups = append(next.Groups, chosen.group(next.Number, next.At))
		for _, d := range chosen.dead {
			next.AddPurged(repo.PurgedSnapshot(d.Snapshot))
		}
	}
	next.AddPurged(c.accepted...)
	if err := c.publish(ctx, next); err != nil {
		return err
	}
	c.merged = true
	c.report.Accepted = append(c.report.Accepted, acceptedOf(c.accepted, c.left)...)
	for i := range chosen.packs {
		c.report.Condemned.add(chosen.packs[i].size, chosen.packs[i].gain())
	}
	return nil
}

// tidy does the rest (G11), and announces what was condemned.
func (c *collection) tidy(ctx context.Context, s *survey) error {
	if err := c.finish(ctx, s.absent); err != nil {
		return err
	}
	if err := c.announce(ctx); err != nil {
		return err
	}
	return c.drop(ctx)
}

// next is the list that comes after the newest, without the groups that are done.
func (c *collection) next() *repo.Condemned {
	next := &repo.Condemned{Number: c.list.Number + 1, At: c.Now().UTC(), By: c.self, Purged: c.list.Purged, Erased: c.list.Erased}
	if c.erased || next.Erased.IsZero() {
		next.Erased = next.At
	}
	for _, g := range c.list.Groups {
		if !c.finished[g.Number] {
			next.Groups = append(next.Groups, g)
		}
	}
	return next
}

func (c *collection) publish(ctx context.Context, next *repo.Condemned) error {
	if err := c.repo.Publish(ctx, next); err != nil {
		return err
	}
	c.list = next
	return nil
}

// drop publishes a list without the groups that are done, if there are any.
func (c *collection) drop(ctx context.Context) error {
	next := c.next()
	if len(next.Groups) == len(c.list.Groups) {
		return nil
	}
	if err := sleep(ctx, c.Settle); err != nil { // who reads it must not see what is gone
		return err
	}
	return c.publish(ctx, next)
}

// sum removes the lists that the newest has replaced, and says what remains.
func (c *collection) sum(ctx context.Context) error {
	if !c.DryRun {
		if err := sleep(ctx, c.Settle); err != nil { // for the newest to be seen by all
			return err
		}
		if err := c.repo.DropCondemned(ctx, c.list.Number); err != nil {
			return err
		}
	}
	stored, err := c.repo.StoredPacks(ctx)
	if err != nil {
		return err
	}
	for _, g := range c.list.Groups {
		if c.removed[g.Number] {
			continue
		}
		waits, err := c.openOnes(ctx, g.Waits)
		if err != nil {
			return err
		}
		p := Pending{Removal{Amount{Packs: len(g.Packs)}, g.Bytes}, g.At.Add(c.Grace), waits}
		for _, name := range g.Packs {
			p.Bytes += uint64(stored[name])
		}
		c.report.Pending = append(c.report.Pending, p)
	}
	for _, size := range stored {
		c.report.Stored.add(uint64(size))
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}
