package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// maxMarks is how often a service is marked whose point gets lost while it is sent.
const maxMarks = 3

// Creation is a snapshot to be taken.
type Creation struct {
	Repository  *repo.Repository
	Project     string
	Environment string
	Definition  string // of the environment, without secrets
	Description string
	Parts       []Part
	Barrier     Barrier
	Live        bool
	// OrLive says that a snapshot whose hold takes too long goes on as if it were
	// Live; else it fails.
	OrLive   bool
	Restore  repo.Name // for a safety snapshot: what takes this data's place
	Program  string
	Host     string
	Now      func() time.Time
	Progress Progress
	// Lineage is what is in the repository; see repo.Repository.Snapshots.
	Lineage []repo.Listed
	// sources, if set, replaces the parts' own: the retired data of a restore.
	sources []engines.Source
}

// Create takes the snapshot under the session's name and returns it once it is
// published. If it returns an error, nothing is.
func (c *Creation) Create(ctx context.Context, session *repo.Session) (*repo.Snapshot, error) {
	if len(c.Parts) == 0 {
		return nil, fmt.Errorf("the environment %s has neither services nor mounts", c.Environment)
	}
	started := c.Now()
	gone, err := c.Repository.LastCounter(ctx, c.Project, c.Environment)
	if err != nil {
		return nil, err
	}
	s := c.draft(started)
	s.Name = session.Name
	if s.Counter <= gone {
		s.Counter, s.Predecessor = gone+1, repo.Name{} // the one before is gone
	}
	captures, err := c.open()
	defer closeAll(captures)
	if err != nil {
		return nil, err
	}
	if session.LostPacks() {
		s.Parent = repo.Name{} // what it holds may be lost: all is read and put again
	}
	c.Progress.Phase("copying", true)
	parent, err := c.parentEntries(ctx, s.Parent)
	if err != nil {
		return nil, err
	}
	err = session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		for _, k := range captures {
			k.sink = &sink{Repository: c.Repository, writer: w, grain: repo.Grain(k.part.Engine.Grain),
				parent: parent, progress: c.Progress}
		}
		if err := c.capture(ctx, w, s, captures); err != nil {
			return err
		}
		s.Root, err = putRoot(ctx, w, captures)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.describe(s, captures)
	s.Took = c.Now().Sub(started)
	c.Progress.Step("publishing")
	return s, session.Commit(ctx, s)
}

func (c *Creation) draft(now time.Time) *repo.Snapshot {
	s := &repo.Snapshot{Project: c.Project, Environment: c.Environment, Created: now.UTC(), Description: c.Description,
		Counter: 1, Definition: c.Definition, Restore: c.Restore, Program: c.Program, Host: c.Host}
	for _, old := range c.Lineage {
		if old.Project != c.Project || old.Environment != c.Environment {
			continue
		}
		if old.Counter >= s.Counter {
			s.Counter, s.Predecessor = old.Counter+1, old.Name
		}
		// The newest, since they come oldest first; a safety snapshot may hold only
		// a part, and one that lost something would pass that on.
		if old.Deleted.IsZero() && old.Damage == nil && (old.Restore.IsZero() || s.Parent.IsZero()) {
			s.Parent = old.Name
		}
	}
	return s
}

// capture is one part on its way into the snapshot.
type capture struct {
	part   Part
	source engines.Source
	sink   *sink
	point  engines.Point
	took   time.Duration // of Mark
	again  bool          // marked once more, after the hold
	moved  string        // how the service had moved on before the release; see witness
	notes  []string
	result engines.Result
}

func (k *capture) wrap(while string, err error) error { return k.part.wrap(while, err) }

// wrap names the part and, unless that is "", what was under way: "while …".
func (p *Part) wrap(while string, err error) error {
	switch {
	case err == nil:
		return nil
	case while == "" && (strings.HasPrefix(err.Error(), p.Name+": ") || strings.HasPrefix(err.Error(), "service "+p.Name+": ")):
		return err // the engine has named it
	case while == "":
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return fmt.Errorf("%s, %s: %w", p.Name, while, err)
}

func (c *Creation) open() ([]*capture, error) {
	var all []*capture
	for i, p := range c.Parts {
		k := &capture{part: p}
		if c.sources != nil {
			k.source = c.sources[i]
		} else {
			var err error
			p.Unheld = c.barrier() == NoBarrier{}
			if k.source, err = p.Engine.Source(p.Service); err != nil {
				return all, p.wrap("", err)
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func closeAll(captures []*capture) {
	for _, k := range captures {
		_ = k.source.Close() // what it sent is safe or has failed already
	}
}

// capture runs the steps of all parts, each step of all parts at the same time.
func (c *Creation) capture(ctx context.Context, w *repo.Writer, s *repo.Snapshot, captures []*capture) error {
	if err := prepareAll(ctx, captures); err != nil {
		return err
	}
	if err := w.Flush(ctx); err != nil { // Mark may read what Prepare put
		return err
	}
	if err := c.mark(ctx, s, captures); err != nil {
		return err
	}
	if err := w.Flush(ctx); err != nil { // and Send what Mark put
		return err
	}
	c.Progress.Step("sending")
	return each(ctx, captures, c.send)
}

// mark holds the requests and marks all parts at the same time.
func (c *Creation) mark(ctx context.Context, s *repo.Snapshot, captures []*capture) error {
	c.Progress.Step("marking")
	for _, k := range captures {
		k.sink.quiet.Store(true)
		defer k.sink.quiet.Store(false)
	}
	released, err := c.holdToMark(ctx, "create "+s.Name.String(), func(ctx context.Context) error {
		if err := each(ctx, captures, c.markOne); err != nil || c.barrier() == (NoBarrier{}) || c.sources != nil {
			return err // where nobody is held, somebody writes
		}
		return each(ctx, captures, func(ctx context.Context, k *capture) error { return k.askWitness(ctx) })
	})
	if err != nil {
		return err
	}
	s.Held, s.Gate, s.Consistency = released.Held, released.Hold, c.consistency(released)
	first, last := captures[0].point.At, captures[0].point.At
	for _, k := range captures {
		if k.point.At.Before(first) {
			first = k.point.At
		}
		if k.point.At.After(last) {
			last = k.point.At
		}
	}
	s.Skew = last.Sub(first)
	return nil
}

// barrier is what holds the requests of this snapshot.
func (c *Creation) barrier() Barrier {
	if c.Live {
		return NoBarrier{}
	}
	return c.Barrier
}

func (c *Creation) markOne(ctx context.Context, k *capture) (err error) {
	started := c.Now()
	k.point, err = k.source.Mark(ctx, k.sink)
	k.took = c.Now().Sub(started)
	return k.wrap("while its point was marked", err)
}

// send sends one part. A point that was lost meanwhile is marked again: that
// service is then at a later instant than the others.
func (c *Creation) send(ctx context.Context, k *capture) error {
	var again []string
	for attempt := 1; ; attempt++ {
		result, err := k.source.Send(ctx, k.sink)
		if err == nil {
			result.Notes = append(result.Notes, again...)
			k.result = result
		}
		if !errors.Is(err, engines.ErrPointLost) || attempt == maxMarks {
			return k.wrap("while it was read", err)
		}
		again, k.again = append(again, fmt.Sprintf("marked again, later than the others: %v", err)), true
		if err := c.markOne(ctx, k); err != nil {
			return err
		}
	}
}

// errOthers is why a mount is copied no further once something cannot be prepared.
var errOthers = errors.New("another part cannot be saved")

// prepareAll prepares all captures at the same time. Its error tells of all services that
// cannot be prepared; mounts, which may be copied for long, end with the first failure.
func prepareAll(ctx context.Context, captures []*capture) error {
	copying, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	failed := make([]error, len(captures))
	var group errgroup.Group
	for i, k := range captures {
		group.Go(func() error {
			ctx := ctx
			if k.part.Mount {
				ctx = copying
			}
			err := k.source.Prepare(ctx, k.sink)
			if err != nil && context.Cause(ctx) != errOthers {
				failed[i] = k.wrap("", err)
				stop(errOthers)
			}
			return err
		})
	}
	if err := group.Wait(); err == nil || ctx.Err() != nil {
		return err
	}
	return errors.Join(failed...)
}

// each runs f for all captures at the same time and returns the first error.
func each(ctx context.Context, captures []*capture, f func(context.Context, *capture) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, k := range captures {
		group.Go(func() error { return f(ctx, k) })
	}
	return group.Wait()
}

// putRoot stores the directory that holds all parts' entries.
func putRoot(ctx context.Context, w *repo.Writer, captures []*capture) (tree.Entry, error) {
	var all []tree.Entry
	for _, k := range captures {
		for _, e := range k.result.Entries {
			if e.Name != k.part.Name && !strings.HasPrefix(e.Name, k.part.Name+".") {
				return tree.Entry{}, fmt.Errorf("%s: entry %q does not belong to it", k.part.Name, e.Name)
			}
			if err := e.Validate(); err != nil {
				return tree.Entry{}, fmt.Errorf("%s: %w", k.part.Name, err)
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b tree.Entry) int { return cmp.Compare(a.Name, b.Name) })
	root := tree.Entry{Name: "root", Type: tree.Directory, Mode: 0o755}
	return w.PutDirectory(ctx, root, tree.Stream{}, func(yield func(tree.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	})
}

func (c *Creation) describe(s *repo.Snapshot, captures []*capture) {
	w := captures[0].sink.writer.Written()
	s.Stats = repo.Stats{Read: w.Read, New: w.New, Stored: w.Stored, Blobs: w.Blobs, Deltas: w.Deltas}
	for _, k := range captures {
		service := repo.Service{Name: k.part.Name, Engine: k.part.Engine.Name, Server: k.point.Server, Marked: k.point.At.UTC(),
			Position: k.point.Position, Rung: k.point.Rung, Notes: append(k.notes, k.result.Notes...), MarkTook: k.took, Subpath: k.part.Subpath, Empty: k.result.Empty}
		if s.Gate != nil && s.Gate.Broken == "" {
			service.Unheld = k.moved
		}
		if warning := c.emptied(k, s.Parent); warning != "" {
			service.Warnings = append(service.Warnings, warning)
		}
		for i, e := range k.result.Entries {
			service.Entries = append(service.Entries, e.Name)
			if i == 0 { // the others are other forms of it
				service.Count = 1 + e.Entries
				service.Bytes = e.Size
			}
		}
		if apart := k.result.Apart; len(apart) > 0 {
			service.Notes = append(service.Notes, notAtThisInstant(apart))
		}
		if (k.again || len(k.result.Apart) > 0 || service.Unheld != "") && s.Consistency == repo.OneInstant {
			s.Consistency = repo.PerService
		}
		for _, l := range k.result.Losses {
			service.Losses = append(service.Losses, repo.Loss{Path: l.Path, Reason: l.Reason})
		}
		s.Services = append(s.Services, service)
		s.Stats.Bytes += service.Bytes
		s.Stats.Files += service.Count
		s.Stats.Kept += k.sink.kept.Load()
	}
}

// notAtThisInstant names what a service says is of another instant than its point.
func notAtThisInstant(names []string) string {
	const most = 20
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return "not at this instant: " + strings.Join(names, ", ") + more
}

// parentEntries returns the top-level entries of the parent snapshot, and tells
// the progress how much is to be expected.
func (c *Creation) parentEntries(ctx context.Context, parent repo.Name) (map[string]tree.Entry, error) {
	entries := map[string]tree.Entry{}
	if parent.IsZero() {
		return entries, nil
	}
	i := slices.IndexFunc(c.Lineage, func(l repo.Listed) bool { return l.Name == parent })
	for _, service := range c.Lineage[i].Services {
		if slices.ContainsFunc(c.Parts, func(p Part) bool { return p.Name == service.Name && p.Subpath == "" }) {
			c.Progress.Expect(service.Bytes)
		}
	}
	for e, err := range c.Repository.Children(ctx, c.Lineage[i].Root) {
		if err != nil {
			// A damaged parent costs its deltas and the unread reuse, not the snapshot.
			return map[string]tree.Entry{}, nil
		}
		entries[e.Name] = e
	}
	return entries, nil
}
