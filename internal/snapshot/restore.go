package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// Restoration is a snapshot to be brought back into an environment.
type Restoration struct {
	// Creation describes the safety snapshot, and with Parts the target.
	Creation
	Snapshot *repo.Snapshot
	Place    Place
	// Named is set when the caller chose the parts: then all of them must be in
	// the snapshot.
	Named   bool
	Subpath string // beneath the only part
	Safety  bool   // keep what is replaced as a safety snapshot

	targets []*replacement
	gone    []repo.Loss // services of which the snapshot has nothing left
	journal *Journal
	reads   repo.PackReads // until all was staged
	// released says what the hold of the swap amounted to.
	released Released
	// CopyJournal, if set, is given the journal once everything is staged, to be
	// kept elsewhere too: should the journal's own place be lost, the copy tells
	// which parts are concerned and what carries which token.
	CopyJournal func(context.Context, []byte) error
	// step, if set, is called before each step; tests stop there.
	step func(string) error
}

// replacement is one part on its way into the environment.
type replacement struct {
	part    Part
	entries []tree.Entry
	target  engines.Target
	Plan    engines.Plan
	staged  engines.Staged
}

func (t *replacement) wrap(while string, err error) error { return t.part.wrap(while, err) }

// Replacement says what a restore does to one service or mount.
type Replacement struct {
	Name     string `json:"name"`
	Subpath  string `json:"subpath,omitempty"` // beneath Name, if that is all that is restored
	Replaces string `json:"replaces,omitempty"`
	Creates  bool   `json:"creates,omitempty"`
	Stays    bool   `json:"stays,omitempty"` // what it creates, undoing leaves in place
	Entries  uint64 `json:"entries"`
	Bytes    uint64 `json:"bytes"`
	// Missing is what the snapshot lacks of it: the restore removes that.
	Missing []repo.Loss `json:"missing,omitempty"`
	// Warnings are the engine's: what should be known before.
	Warnings []string `json:"warnings,omitempty"`
}

// Plan finds the targets and asks each whether the restore can work; its error tells
// of all for which it cannot. It changes nothing. Close must be called afterwards.
func (r *Restoration) Plan(ctx context.Context, token string) ([]Replacement, error) {
	if err := r.choose(); err != nil {
		return nil, err
	}
	entries, err := r.entries(ctx)
	if err != nil {
		return nil, err
	}
	var plan []Replacement
	var refused []error
	for _, p := range r.Parts {
		t := &replacement{part: p, entries: entries[p.Name]}
		t.part.Subpath, t.part.Server = r.Subpath, r.serverOf(p.Name)
		if t.target, err = p.Engine.Target(t.part.Service, token); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		r.targets = append(r.targets, t)
		if t.Plan, err = t.target.Plan(ctx, t.entries); err != nil {
			refused = append(refused, t.wrap("", err))
			continue
		}
		e, err := Lookup(ctx, r.Repository, r.Snapshot.Root, path.Join(t.entries[0].Name, r.Subpath))
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", r.Snapshot.Name, err)
		}
		plan = append(plan, Replacement{Name: p.Name, Subpath: r.Subpath, Replaces: t.Plan.Replaces, Creates: t.Plan.Creates, Stays: t.Plan.Creates && !t.Plan.Empties,
			Entries: e.Entries + 1, Bytes: e.Size, Missing: Missing(r.Snapshot, p.Name, r.Subpath), Warnings: t.Plan.Warnings})
		r.Progress.Expect(e.Size)
	}
	return plan, errors.Join(refused...)
}

// choose keeps the parts that the snapshot has. What the target lacks is an
// error, what the snapshot lacks is left untouched.
func (r *Restoration) choose() error {
	has := func(name string) bool {
		return slices.ContainsFunc(r.Snapshot.Services, func(s repo.Service) bool { return s.Name == name })
	}
	var kept []Part
	for _, p := range r.Parts {
		if lost := r.lost(p.Name); len(lost) > 0 {
			r.gone = append(r.gone, lost...)
			if r.Named && len(r.Parts) == 1 {
				return fmt.Errorf("snapshot %s has lost all of %q: %s", r.Snapshot.Name, p.Name, lost[0].Reason)
			}
		} else if has(p.Name) {
			kept = append(kept, p)
		} else if r.Named {
			return fmt.Errorf("snapshot %s has no %q; it has %s", r.Snapshot.Name, p.Name, strings.Join(serviceNames(r.Snapshot), ", "))
		}
	}
	if !r.Named {
		for _, s := range r.Snapshot.Services {
			if !slices.ContainsFunc(r.Parts, func(p Part) bool { return p.Name == s.Name }) {
				return fmt.Errorf("the environment %s has no %q, which the snapshot has; add it to holdfast.yaml, or choose with --only", r.Environment, s.Name)
			}
		}
	}
	if len(kept) == 0 && len(r.gone) > 0 {
		return fmt.Errorf("snapshot %s has lost all of %s: %s", r.Snapshot.Name, strings.Join(partNames(r.Parts), ", "), r.gone[len(r.gone)-1].Reason)
	}
	if len(kept) == 0 {
		return fmt.Errorf("snapshot %s and the environment %s have nothing in common", r.Snapshot.Name, r.Environment)
	}
	for _, p := range kept {
		i := slices.IndexFunc(r.Snapshot.Services, func(s repo.Service) bool { return s.Name == p.Name })
		if engine := r.Snapshot.Services[i].Engine; engine != p.Engine.Name {
			return fmt.Errorf("%q is of the kind %s in the snapshot and %s in the environment %s", p.Name, engine, p.Engine.Name, r.Environment)
		}
	}
	r.Parts = kept
	return nil
}

// serverOf is the server that a service of the snapshot was taken from.
func (r *Restoration) serverOf(service string) string {
	for _, s := range r.Snapshot.Services {
		if s.Name == service {
			return s.Server
		}
	}
	return ""
}

// lost returns why the snapshot has nothing left of a service; nil if it has.
func (r *Restoration) lost(name string) []repo.Loss {
	for _, s := range r.Snapshot.Services {
		if s.Name == name && r.Snapshot.Damage != nil && len(s.Entries) == 0 {
			return append([]repo.Loss{{Path: name, Reason: "nothing is left of it, so it is not restored"}}, s.Losses...)
		}
	}
	return nil
}

// Gone names what the snapshot has lost as a whole, and a restore leaves as it is.
func (r *Restoration) Gone() []repo.Loss { return r.gone }

func serviceNames(s *repo.Snapshot) []string {
	names := make([]string, len(s.Services))
	for i, service := range s.Services {
		names[i] = service.Name
	}
	return names
}

// entries returns the snapshot's entries by service, in the order in which the
// source sent them.
func (r *Restoration) entries(ctx context.Context) (map[string][]tree.Entry, error) {
	byName := map[string]tree.Entry{}
	for e, err := range r.Repository.Children(ctx, r.Snapshot.Root) {
		if err != nil {
			return nil, fmt.Errorf("read snapshot %s: %w", r.Snapshot.Name, err)
		}
		byName[e.Name] = e
	}
	all := map[string][]tree.Entry{}
	for _, s := range r.Snapshot.Services {
		for _, name := range s.Entries {
			e, ok := byName[name]
			if !ok {
				return nil, fmt.Errorf("read snapshot %s: its root lacks %s", r.Snapshot.Name, name)
			}
			all[s.Name] = append(all[s.Name], e)
		}
		if len(all[s.Name]) == 0 && r.Snapshot.Damage == nil {
			return nil, fmt.Errorf("read snapshot %s: %s has no entries", r.Snapshot.Name, s.Name)
		}
	}
	return all, nil
}

// Close releases the targets.
func (r *Restoration) Close() {
	for _, t := range r.targets {
		_ = t.target.Close() // what was done is durable or in the journal
	}
}

// Outcome is what a restore came to.
type Outcome struct {
	Snapshot repo.Name   `json:"snapshot"`
	Target   string      `json:"target"`
	Replaced []string    `json:"replaced"`
	Created  []string    `json:"created,omitempty"` // of these, what was not there: undoing leaves it
	Missing  []repo.Loss `json:"missing,omitempty"` // what the snapshot lacks of that
	Losses   []repo.Loss `json:"losses,omitempty"`  // what could not be made as it was
	Notes    []string    `json:"notes,omitempty"`
	Safety   *repo.Name  `json:"safety_snapshot,omitempty"`
	// Lost is what of the replaced data could not be read for the safety snapshot.
	Lost []repo.Loss `json:"safety_missing,omitempty"`
	// Read is what was read from the repository's packs to stage all that.
	Read   uint64 `json:"read_bytes"`
	Needed uint64 `json:"needed_bytes"` // of it the first time
	// Present is how much was right already, so that it was not read.
	Present uint64 `json:"present_bytes"`
	// Held is how long requests were held for the swap, and Gate what became of them;
	// nil where there was no gate.
	Held time.Duration `json:"held_ns,omitempty"`
	Gate *repo.Hold    `json:"gate,omitempty"`
}

// Restore carries out what Plan planned, under the session whose name was the
// token. If it returns an error and the journal is gone, the target is as it was.
func (r *Restoration) Restore(ctx context.Context, session *repo.Session) (*Outcome, error) {
	r.journal = &Journal{State: Staging, Token: session.Name.String(), Snapshot: r.Snapshot.Name, Project: r.Project,
		Environment: r.Environment, Started: r.Now().UTC(), Parts: partNames(r.Parts), Subpath: r.Subpath, Safety: r.Safety}
	if err := r.enter(Staging); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, r.undo(context.WithoutCancel(ctx), err)
	}
	if err := r.swap(ctx); err != nil {
		return nil, err
	}
	outcome := r.outcome()
	// From here on nothing is taken back: what is left to do is done, or waits in
	// the journal for the next command.
	return outcome, r.finish(ctx, session, outcome)
}

func (r *Restoration) enter(s State) error {
	if err := r.at("journal " + string(s)); err != nil {
		return err
	}
	next := *r.journal
	next.State = s
	if err := r.Place.Store(&next); err != nil {
		return err
	}
	r.journal = &next
	return nil
}

func (r *Restoration) at(step string) error {
	if r.step == nil {
		return nil
	}
	return r.step(step)
}

// prepare stages all parts: nothing is left that can be known to fail.
func (r *Restoration) prepare(ctx context.Context) error {
	r.Progress.Step("staging")
	if err := r.stage(ctx); err != nil {
		return err
	}
	r.reads = r.Repository.PackReads()
	if err := r.enter(Prepared); err != nil || r.CopyJournal == nil {
		return err
	}
	data, err := json.Marshal(r.journal)
	if err != nil {
		return err
	}
	return r.CopyJournal(ctx, data)
}

// swap holds the requests until the target is as restored, or again as it was. If
// it is neither, they wait until a recovery has made it so.
func (r *Restoration) swap(ctx context.Context) error {
	r.Progress.Step("swapping")
	held, err := r.Barrier.Hold(ctx, HoldSwap, "restore "+r.journal.Token)
	if err != nil {
		return r.undo(context.WithoutCancel(ctx), fmt.Errorf("hold the requests: %w", err))
	}
	if err := r.swapAll(ctx); err != nil {
		err = r.undo(context.WithoutCancel(ctx), err)
		if left, loadErr := r.Place.Load(); left != nil || loadErr != nil {
			held.Abandon()
			return err
		}
		held.Release()
		return err
	}
	r.released = held.Release()
	return nil
}

func (r *Restoration) swapAll(ctx context.Context) error {
	if err := r.enter(Swapping); err != nil {
		return err
	}
	for _, t := range r.targets {
		if err := r.at("swap " + t.part.Name); err != nil {
			return err
		}
		if err := t.target.Swap(ctx); err != nil {
			return t.wrap("while it was put in place", err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.enter(Committed)
}

// stage builds all parts at the same time.
func (r *Restoration) stage(ctx context.Context) error {
	content := countedContent{r.Repository, r.Progress}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range r.targets {
		if !t.Plan.Creates || t.Plan.Empties {
			r.journal.Retires = append(r.journal.Retires, t.part.Name)
		}
		group.Go(func() (err error) {
			if err := r.at("stage " + t.part.Name); err != nil {
				return err
			}
			t.staged, err = t.target.Stage(ctx, t.entries, content)
			return t.wrap("while it was built beside the current data", err)
		})
	}
	return group.Wait()
}

// undo brings the target back to what it was and returns cause, with what went
// wrong on the way.
func (r *Restoration) undo(ctx context.Context, cause error) error {
	if errors.Is(cause, errStopped) {
		return cause
	}
	r.Progress.Step("undoing")
	// The last journal may have reached the disk although storing it failed: what
	// stands there must say again how far we are before data follows.
	err := r.Place.Store(r.journal)
	if err == nil {
		err = rollBack(ctx, r.journal, r.targets, r.Place)
	}
	if err != nil {
		return errors.Join(cause, fmt.Errorf("and undoing it failed; the next command on this environment tries again: %w", err))
	}
	return cause
}

// errStopped stands for the death of the process, in tests.
var errStopped = errors.New("stopped")

func (r *Restoration) outcome() *Outcome {
	o := &Outcome{Snapshot: r.Snapshot.Name, Target: r.Environment, Replaced: partNames(r.Parts), Missing: r.gone,
		Read: r.reads.Read, Needed: r.reads.Needed, Present: r.reads.Present, Held: r.released.Held, Gate: r.released.Hold}
	for _, t := range r.targets {
		if t.Plan.Creates && !t.Plan.Empties {
			o.Created = append(o.Created, path.Join(t.part.Name, t.part.Subpath))
		}
		o.Missing = append(o.Missing, Missing(r.Snapshot, t.part.Name, t.part.Subpath)...)
		for _, l := range t.staged.Losses {
			o.Losses = append(o.Losses, repo.Loss{Path: l.Path, Reason: l.Reason})
		}
		o.Notes = append(o.Notes, t.staged.Notes...)
	}
	return o
}

// finish sends the safety snapshot from the retired data and removes that.
func (r *Restoration) finish(ctx context.Context, session *repo.Session, o *Outcome) error {
	if r.Safety && len(r.journal.Retires) > 0 {
		if err := r.at("safety snapshot"); err != nil {
			return err
		}
		s, err := r.sendSafety(ctx, session)
		if err != nil {
			return fmt.Errorf("the restore is done, but what it replaced could not be saved yet; it is kept, and the next command on this environment tries again: %w", err)
		}
		o.Safety, o.Lost = &s.Name, s.Losses()
	}
	return rollForward(context.WithoutCancel(ctx), r.targets, r.Place, r.at)
}

// sendSafety takes the safety snapshot of what was retired.
func (r *Restoration) sendSafety(ctx context.Context, session *repo.Session) (*repo.Snapshot, error) {
	c := r.Creation
	c.Parts, c.sources = nil, nil
	c.Barrier, c.Live = heldBefore{r.released}, false
	c.Restore = r.journal.Snapshot
	c.Description = "before restoring " + r.journal.Snapshot.String()
	for _, t := range r.targets {
		if !slices.Contains(r.journal.Retires, t.part.Name) {
			continue
		}
		source, err := t.target.Retired(ctx)
		if err != nil {
			for _, opened := range c.sources {
				_ = opened.Close()
			}
			return nil, t.wrap("while what was replaced was read", err)
		}
		c.Parts = append(c.Parts, t.part)
		c.sources = append(c.sources, source)
	}
	return c.Create(ctx, session)
}
