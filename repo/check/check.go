// Package check walks a repository and yields everything that is wrong with it,
// each with the object it is about and the snapshots it hurts.
//
//	keys, marks -> index segments -> packs are there, of the right size
//	            -> (ReadData) every pack's name, directory and every blob's bytes
//	            -> every snapshot: listings, lists, and a readable copy of every blob
//	            -> no snapshot has vanished
//
// It only reads. A subtree that was found whole is not walked twice.
package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/pack"
)

// Problem is one thing that is wrong.
type Problem struct {
	Object string `json:"object"`
	Err    error  `json:"-"`
	// Snapshots are those that cannot be restored whole because of it, and Paths
	// some of what is lost in them.
	Snapshots []repo.Name `json:"snapshots,omitempty"`
	Paths     []string    `json:"paths,omitempty"`
}

// maxPaths bounds Problem.Paths.
const maxPaths = 5

func (p *Problem) Error() string {
	text := p.Object + ": " + p.Err.Error()
	if len(p.Snapshots) > 0 {
		names := make([]string, len(p.Snapshots))
		for i, n := range p.Snapshots {
			names[i] = n.String()
		}
		text += "; it hurts " + strings.Join(names, ", ")
	}
	if len(p.Paths) > 0 {
		text += " (" + strings.Join(p.Paths, ", ") + ")"
	}
	return text
}

// Report is the outcome.
type Report struct {
	Problems  []*Problem `json:"problems"`
	Notes     []string   `json:"notes,omitempty"`
	Snapshots int        `json:"snapshots"`
	Packs     int        `json:"packs"`
	BytesRead uint64     `json:"bytes_read"` // of packs, with ReadData
}

// Options of Run.
type Options struct {
	ReadData bool              // read every byte, not only the structure
	Progress func(bytes int64) // called with what was read; may be nil
}

// Run checks r. The error is about the checking itself, not about what it found.
func Run(ctx context.Context, r *repo.Repository, o Options) (*Report, error) {
	c := &checker{repo: r, options: o, report: &Report{Problems: []*Problem{}}, badPacks: map[[32]byte]*Problem{},
		badCopies: map[copyKey]*Problem{}, missing: map[blob.ID]*Problem{},
		unread: map[string]*Problem{}, whole: map[blob.ID]bool{}}
	for _, step := range []func(context.Context) error{c.keys, c.segments, c.packs, c.snapshots} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	slices.SortFunc(c.report.Problems, func(a, b *Problem) int { return strings.Compare(a.Object, b.Object) })
	return c.report, nil
}

type copyKey struct {
	pack   [32]byte
	number uint32
}

type checker struct {
	repo    *repo.Repository
	options Options
	report  *Report

	badPacks  map[[32]byte]*Problem
	badCopies map[copyKey]*Problem
	missing   map[blob.ID]*Problem
	unread    map[string]*Problem
	whole     map[blob.ID]bool // lists and listings beneath which all is well
}

func (c *checker) problem(object string, err error) *Problem {
	p := &Problem{Object: object, Err: err}
	c.report.Problems = append(c.report.Problems, p)
	return p
}

func (c *checker) keys(ctx context.Context) error {
	if _, err := c.repo.Keys(ctx); err != nil {
		return c.found("keys", err)
	}
	return nil
}

// found files an error about an object as a problem; one about the checking
// itself (interrupted, storage gone) is returned.
func (c *checker) found(object string, err error) error {
	var damaged *repo.DamagedError
	var missing *repo.MissingError
	switch {
	case errors.As(err, &damaged):
		c.problem(damaged.Object, damaged.Err)
	case errors.As(err, &missing):
		c.problem(missing.Object, errors.New("is missing"))
	default:
		return fmt.Errorf("check %s: %w", object, err)
	}
	return nil
}

func (c *checker) segments(ctx context.Context) error {
	if err := c.repo.Refresh(ctx); err != nil {
		return err
	}
	for object, err := range c.repo.BadSegments() {
		c.problem(object, fmt.Errorf("%w; \"holdfast repo rebuild-index\" makes the index anew", err))
	}
	return ctx.Err()
}

// packs compares what is stored with what the index says.
func (c *checker) packs(ctx context.Context) error {
	stored, err := c.repo.StoredPacks(ctx)
	if err != nil {
		return err
	}
	c.report.Packs = len(stored)
	indexed := map[[32]byte]bool{}
	packs, err := c.repo.IndexedPacks(ctx)
	if err != nil {
		return err
	}
	for _, p := range packs {
		indexed[p.Name] = true
		size, ok := stored[p.Name]
		switch {
		case !ok:
			c.badPacks[p.Name] = c.problem(pack.ObjectName(p.Name), errors.New("is missing"))
		case size != int64(p.Size):
			c.badPacks[p.Name] = c.problem(pack.ObjectName(p.Name), fmt.Errorf("has %d bytes, the index says %d", size, p.Size))
		}
	}
	unindexed := 0
	for name := range stored {
		if !indexed[name] {
			unindexed++
		}
	}
	if unindexed > 0 {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("%d pack(s) of unfinished work, which no index segment names", unindexed))
	}
	if !c.options.ReadData {
		return nil
	}
	return c.readPacks(ctx, stored)
}

func (c *checker) readPacks(ctx context.Context, stored map[[32]byte]int64) error {
	names := make([][32]byte, 0, len(stored))
	for name := range stored {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	for _, name := range names {
		if c.badPacks[name] != nil {
			continue
		}
		if err := c.readPack(ctx, name); err != nil {
			return err
		}
		c.report.BytesRead += uint64(stored[name])
		if c.options.Progress != nil {
			c.options.Progress(stored[name])
		}
	}
	return nil
}

func (c *checker) readPack(ctx context.Context, name [32]byte) error {
	object := pack.ObjectName(name)
	bad, err := c.repo.VerifyPack(ctx, name)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		c.badPacks[name] = c.problem(object, err)
	}
	for _, b := range bad {
		c.badCopies[copyKey{name, b.Number}] = c.problem(object, fmt.Errorf("blob %s: %w", b.ID.Short(), b.Err))
	}
	return nil
}

func (c *checker) snapshots(ctx context.Context) error {
	all, err := c.repo.Snapshots(ctx)
	if err != nil {
		for _, one := range split(err) {
			if err := c.found("snapshots", one); err != nil {
				return err
			}
		}
	}
	c.report.Snapshots = len(all)
	if err == nil { // with some unreadable, it cannot be told whether others have vanished
		vanished, err := c.repo.Vanished(ctx, all)
		if err != nil {
			return err
		}
		for _, err := range vanished {
			c.problem("snapshots", err)
		}
	}
	for _, s := range all {
		w := walk{checker: c, ctx: ctx, snapshot: s.Name}
		if _, err := w.directory(s.Root, ""); err != nil {
			return err
		}
	}
	return nil
}

// split returns the errors that were joined.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// readable returns a problem that keeps id from being read, or nil: some copy of
// it is where the index says, and its bases have readable copies of lower depth.
func (c *checker) readable(id blob.ID, bound int) (*Problem, error) {
	copies, err := c.repo.Copies(id)
	if err != nil {
		return nil, err
	}
	var because *Problem
	for _, copied := range copies {
		if int(copied.Depth) >= bound {
			continue
		}
		p, err := c.copyProblem(copied)
		if p == nil || err != nil {
			return nil, err
		}
		because = p
	}
	if because == nil {
		if because = c.missing[id]; because == nil {
			because = c.problem("blob "+id.Short(), errors.New("is in no pack that the index knows"))
			c.missing[id] = because
		}
	}
	return because, nil
}

func (c *checker) copyProblem(e index.Entry) (*Problem, error) {
	if p := c.badPacks[e.Pack.Name]; p != nil {
		return p, nil
	}
	if p := c.badCopies[copyKey{e.Pack.Name, e.Number}]; p != nil {
		return p, nil
	}
	for _, base := range e.Bases {
		if p, err := c.readable(base, int(e.Depth)); p != nil || err != nil {
			return p, err
		}
	}
	return nil, nil
}

// walk goes through one snapshot.
type walk struct {
	*checker
	ctx      context.Context
	snapshot repo.Name
}

func (w *walk) hurt(p *Problem, path string) {
	if path == "" {
		path = "all of it"
	}
	if !slices.Contains(p.Snapshots, w.snapshot) {
		p.Snapshots = append(p.Snapshots, w.snapshot)
	}
	if len(p.Paths) < maxPaths && !slices.Contains(p.Paths, path) {
		p.Paths = append(p.Paths, path)
	}
}

// directory reports whether all beneath e is well.
func (w *walk) directory(e tree.Entry, path string) (bool, error) {
	if known := len(e.Content.Refs) == 1 && w.whole[e.Content.Refs[0].ID]; known || len(e.Content.Refs) == 0 {
		return true, nil
	}
	well, err := w.stream(e.Content, path)
	if !well || err != nil {
		return false, err // a listing that cannot be read is not walked
	}
	for child, err := range w.repo.Children(w.ctx, e) {
		if err != nil {
			return false, w.unreadable("listing "+e.Content.Refs[0].ID.Short(), path, err)
		}
		at := strings.TrimPrefix(path+"/"+child.Name, "/")
		var good bool
		if child.Type == tree.Directory {
			good, err = w.directory(child, at)
		} else {
			good, err = w.stream(child.Content, at)
		}
		if err != nil {
			return false, err
		}
		well = well && good
	}
	if well && len(e.Content.Refs) == 1 {
		w.whole[e.Content.Refs[0].ID] = true
	}
	return well, nil
}

// stream reports whether every blob of s can be read.
func (w *walk) stream(s tree.Stream, path string) (bool, error) {
	well := true
	for _, ref := range s.Refs {
		good, err := w.ref(ref, path)
		if err != nil {
			return false, err
		}
		well = well && good
	}
	return well, nil
}

// ref reports whether the blob of ref, and all that it lists, can be read.
func (w *walk) ref(ref tree.Ref, path string) (bool, error) {
	p, err := w.readable(ref.ID, 256)
	if err != nil {
		return false, err
	}
	if p != nil {
		w.hurt(p, path)
		return false, nil
	}
	if ref.Level == 0 || w.whole[ref.ID] {
		return true, nil
	}
	list, err := w.repo.List(w.ctx, ref)
	if err != nil {
		return false, w.unreadable("list "+ref.ID.Short(), path, err)
	}
	well, err := w.stream(tree.Stream{Refs: list}, path)
	w.whole[ref.ID] = well
	return well, err
}

// unreadable files what reading a list or listing ran into.
func (w *walk) unreadable(object, path string, err error) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	p := w.unread[object]
	if p == nil {
		p = w.problem(object, err)
		w.unread[object] = p
	}
	w.hurt(p, path)
	return nil
}
