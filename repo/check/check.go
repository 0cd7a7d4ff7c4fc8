// Package check walks a repository and yields everything that is wrong with it,
// each with the object it is about and the snapshots it hurts.
//
//	keys, marks -> index segments -> packs are there, of the right size
//	            -> (ReadData) every pack's name, directory and every blob's bytes
//	            -> every snapshot: listings, lists, and a readable copy of every blob
//	            -> no snapshot has vanished
//
// It only reads, in bounded memory: it remembers what is wrong, the names of the
// packs, and some of the subtrees that were found whole.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"holdfast/index"
	"holdfast/internal/storage"
	"holdfast/repo"
)

// Problem is one thing that is wrong.
type Problem struct {
	Object string `json:"object"`
	Err    error  `json:"-"`
	// Snapshots are those that cannot be restored whole because of it, and Paths
	// some of what is lost in them.
	Snapshots []repo.Name `json:"snapshots,omitempty"`
	Paths     []string    `json:"paths,omitempty"`
	// MorePaths counts the others that are lost, as far as countedPaths reach.
	MorePaths int `json:"more_paths,omitempty"`

	deleted bool // it was deleted on purpose, and is a problem only where a snapshot needs it
	twice   bool // it concerns a copy of what snapshots need, of which there is another
}

// Next is what to do about it, for a line of its own.
func (p *Problem) Next() string {
	if repo.Foreign(p.Err) {
		return "use a newer password, token or holdfast, as it says; this is no damage"
	}
	if errors.Is(p.Err, storage.ErrObstacle) {
		return repo.NextOfObstacle
	}
	if errors.Is(p.Err, repo.ErrStray) {
		return "move it out of the repository, or give it its name back; \"holdfast repo repair\" sets it aside"
	}
	folder, _, one := strings.Cut(p.Object, "/")
	if folder == "snapshots" && !one { // some have vanished
		return "put them back from a copy of the repository, or with \"holdfast repo repair\" from parity; if they are lost for good, \"holdfast repo gc --accept-loss\""
	}
	if folder == "packs" && !one { // some that no segment names
		return "\"holdfast repo repair\" takes them up again, and finds whole what missed nothing else"
	}
	switch folder {
	case "packs", "blob", "list":
		return "\"holdfast repo repair --dry-run\" says what can be saved, and what is lost"
	case "snapshots":
		return "put it back from a copy of the repository; parity mends it too: \"holdfast repo repair\""
	case "index":
		return "\"holdfast repo rebuild-index\" makes it anew from the packs, and nothing is lost"
	case "parity":
		return "\"holdfast repo repair\" makes it anew, and nothing is lost"
	}
	return "\"holdfast repo repair --dry-run\" says what can be mended"
}

const (
	maxPaths     = 5         // bounds Problem.Paths
	countedPaths = 1_000_000 // of all problems together, to bound memory
)

func (p *Problem) Error() string {
	text := p.Object + ": " + p.Err.Error()
	if len(p.Snapshots) > 0 {
		text += "; it hurts " + repo.Enumerate(p.Snapshots)
	}
	if p.twice && len(p.Snapshots) == 0 {
		text += "; it hurts no snapshot, because what they need of it is stored elsewhere too"
	}
	if len(p.Paths) > 0 {
		text += " (" + strings.Join(p.Paths, ", ")
		if p.MorePaths > 0 {
			text += fmt.Sprintf(" and %d more", p.MorePaths)
		}
		text += ")"
	}
	return text
}

// Report is the outcome.
type Report struct {
	Problems  []*Problem `json:"problems"`
	Notes     []string   `json:"notes,omitempty"`
	Snapshots int        `json:"snapshots"`
	Damaged   int        `json:"damaged"` // snapshots that have lost something, as repairs have recorded
	Packs     int        `json:"packs"`
	BytesRead uint64     `json:"bytes_read"`        // of packs
	PacksRead int        `json:"packs_read"`        // by this run
	Earlier   int        `json:"earlier,omitempty"` // packs that were read by the interrupted run with which this one goes on
}

// Options of Run.
type Options struct {
	ReadData bool  // read every byte, not only the structure
	Part     Part  // or some of them
	Rate     int64 // bytes per second at most; 0: as fast as it goes
	// Position is a file that keeps how far reading has come, for the next run; ""
	// keeps nothing.
	Position string
	Now      func() time.Time        // needed for Rate
	Progress func(read, total int64) // called with what was read, and will be; may be nil
}

// maxMoved is how often a check begins anew because packs were moved under it.
const maxMoved = 3

// Run checks r. The error is about the checking itself, not about what it found.
//
// A collection may move blobs from pack to pack meanwhile, so problems count only
// if they are found while packs and index stay.
func Run(ctx context.Context, r *repo.Repository, o Options) (report *Report, err error) {
	for moved := 0; ; moved++ {
		before, err := r.Moved(ctx)
		if err != nil {
			return nil, err
		}
		if report, err = run(ctx, r, o); err != nil || len(report.Problems) == 0 || moved == maxMoved {
			return report, err
		}
		if after, err := r.Moved(ctx); after == before || err != nil {
			return report, err
		}
	}
}

func run(ctx context.Context, r *repo.Repository, o Options) (*Report, error) {
	c := &checker{repo: r, options: o, lost: map[lostPath]bool{}, seed: maphash.MakeSeed(), report: &Report{Problems: []*Problem{}}, badPacks: map[[32]byte]*Problem{},
		badCopies: map[copyKey]*Problem{}, blame: map[string]*Problem{}, inTheWay: map[string]*Problem{}}
	for _, step := range []func(context.Context) error{c.obstacles, c.keys, c.settings, c.segments, c.packs, c.snapshots, c.unindexed, c.parity} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	c.excuse()
	slices.SortFunc(c.report.Problems, func(a, b *Problem) int {
		return cmp.Or(a.rank()-b.rank(), strings.Compare(a.Object, b.Object))
	})
	return c.report, nil
}

// rank puts causes before what may follow from them: what the index does not tell is
// not found, whether it is there or not.
func (p *Problem) rank() int {
	folder, _, _ := strings.Cut(p.Object, "/")
	switch {
	case folder == "index":
		return 0
	case strings.HasPrefix(folder, "blob"), strings.HasPrefix(folder, "list"):
		return 2
	}
	return 1
}

// excuse makes notes of the damaged packs that no snapshot needs. Where anything
// else is wrong nobody can tell.
func (c *checker) excuse() {
	harmless := map[*Problem]bool{}
	for _, p := range c.badPacks {
		harmless[p] = len(p.Snapshots) == 0 && !p.twice
	}
	for _, p := range c.badCopies {
		harmless[p] = len(p.Snapshots) == 0 && !p.twice
	}
	if slices.ContainsFunc(c.report.Problems, func(p *Problem) bool { return !harmless[p] }) {
		return
	}
	for _, p := range c.report.Problems {
		c.note("%s: %v, and no snapshot needs what was in it; \"holdfast repo repair\" forgets it", p.Object, p.Err)
	}
	c.report.Problems = []*Problem{}
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
	gone      [][32]byte          // packs that were listed, and not there to be read
	blame     map[string]*Problem // by object, what the survey found
	inTheWay  map[string]*Problem // by object, what stands in its place
	noIndex   *Problem            // nil where there is one, or nothing to find
	partial   bool                // the index is known to lack something
	stored    map[[32]byte]int64  // packs, and their sizes
	unnamed   [][32]byte          // those that no segment names
	damaged   []repo.Listed       // snapshots that have lost something earlier
	missed    repo.Missed

	lost map[lostPath]bool // what was filed under a problem
	seed maphash.Seed      // of the paths in it
}

type lostPath struct {
	problem *Problem
	path    uint64
}

func (c *checker) problem(object string, err error) *Problem {
	p := &Problem{Object: object, Err: err}
	c.report.Problems = append(c.report.Problems, p)
	return p
}

func (c *checker) note(format string, args ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

// found files an error about an object as a problem; one about the checking
// itself (interrupted, storage gone) is returned.
func (c *checker) found(object string, err error) error {
	var damaged *repo.DamagedError
	var missing *repo.MissingError
	switch {
	case errors.Is(err, storage.ErrObstacle): // it was named first of all
	case errors.As(err, &damaged):
		c.problem(damaged.Object, damaged.Err)
	case errors.As(err, &missing):
		c.problem(missing.Object, errMissing)
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
		c.problem(object, err)
		c.partial = true
	}
	gone, err := c.repo.HasNoIndex(ctx)
	if gone {
		c.noIndex, c.partial = c.problem("index", repo.ErrNoIndex), true
	}
	return errors.Join(err, ctx.Err())
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
	if !repo.Hides(err) { // with some unreadable, it cannot be told whether others have vanished
		vanished, err := c.repo.Vanished(ctx, all)
		if err != nil {
			return err
		}
		for _, err := range vanished {
			c.problem("snapshots", err)
		}
	}
	if c.noIndex != nil { // to name each blob would tell nothing
		for _, s := range all {
			c.noIndex.Snapshots = append(c.noIndex.Snapshots, s.Name)
		}
		return nil
	}
	survey := c.repo.NewSurvey(c.unusable)
	survey.Missed = &c.missed
	for _, s := range all {
		if s.Damage != nil {
			c.report.Damaged++
			c.damaged = append(c.damaged, s)
			c.note("snapshot %s has lost paths, as a repair has recorded: %d; what is left of it is checked", s.Name, s.Damage.Count())
		}
		lost := func(path string, why error) { c.hurt(s.Name, path, why) }
		if _, err := survey.Walk(ctx, s.Root, "", lost); err != nil {
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

// unusable is the copies' part in the survey: why one cannot be read, if it is
// known.
func (c *checker) unusable(e *index.Entry) error {
	p := c.bad(e)
	if p == nil {
		return nil
	}
	p.twice = true // or somebody is hurt
	return p
}

// bad is what is known to be wrong with a copy.
func (c *checker) bad(e *index.Entry) *Problem {
	if p := c.badPacks[e.Pack.Name]; p != nil {
		return p
	}
	return c.badCopies[copyKey{e.Pack.Name, e.Number}]
}

// hurt files what a snapshot lost under the object that is to blame.
func (c *checker) hurt(snapshot repo.Name, path string, why error) {
	p := c.blamed(why)
	if p.deleted && len(p.Snapshots) == 0 { // it should not have been
		c.report.Problems = append(c.report.Problems, p)
	}
	if path == "" {
		path = "all of it"
	}
	if !slices.Contains(p.Snapshots, snapshot) {
		p.Snapshots = append(p.Snapshots, snapshot)
	}
	lost := lostPath{p, maphash.String(c.seed, path)}
	switch {
	case c.lost[lost]:
		return
	case len(p.Paths) < maxPaths:
		p.Paths = append(p.Paths, path)
	case len(c.lost) < countedPaths:
		p.MorePaths++
	default:
		return
	}
	c.lost[lost] = true
}

func (c *checker) blamed(why error) *Problem {
	if p, ok := errors.AsType[*Problem](why); ok {
		return p
	}
	object, err := "blob", why
	if missing, ok := errors.AsType[*repo.MissingError](why); ok {
		object, err = missing.Object, errors.New("is in no pack that the index knows")
	} else if damaged, ok := errors.AsType[*repo.DamagedError](why); ok {
		object, err = damaged.Object, damaged.Err
	}
	p := c.blame[object]
	if p == nil {
		p = c.problem(object, err)
		c.blame[object] = p
	}
	return p
}
