package gc

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"holdfast/repo"
)

// Amount is a number of packs, and the bytes of their files.
type Amount struct {
	Packs int    `json:"packs"`
	Bytes uint64 `json:"bytes"`
}

func (a *Amount) add(bytes uint64) {
	a.Packs++
	a.Bytes += bytes
}

// Removal is packs that have been or will be removed.
type Removal struct {
	Amount
	// Gain is Bytes without what of these packs snapshots need, which lies in other
	// packs too or will before they go: by so much the repository becomes smaller,
	// compared with before that was copied.
	Gain uint64 `json:"gain"`
}

func (r *Removal) add(bytes, gain uint64) {
	r.Amount.add(bytes)
	r.Gain += gain
}

// Report says what a collection did; after a dry run, what it would have done, but for
// Pending and Stored, which are as they are. Of
// each pack it says in order: Condemned, by one collection, which has Copied what is
// needed of it; Pending; Freed, by a later one (by the same one without a grace period).
type Report struct {
	DryRun    bool        `json:"dry_run"`
	Accepted  []Accepted  `json:"accepted"`  // snapshots that have vanished, and are not missed any more
	Purged    []repo.Name `json:"purged"`    // snapshots that cannot be undeleted any more
	Deleted   Deleted     `json:"deleted"`   // snapshots that still can be
	Freed     Removal     `json:"freed"`     // packs that this run removed
	Copied    uint64      `json:"copied"`    // bytes that it wrote anew, out of packs that go
	Condemned Removal     `json:"condemned"` // packs that it decided to remove, also those that it removed at once
	Pending   []Pending   `json:"pending"`   // what is condemned and still there at its end
	Ended     []repo.Name `json:"ended"`     // silent sessions
	Stored    Amount      `json:"stored"`    // packs that are there at its end, the pending ones among them
	Unnamed   Amount      `json:"unnamed"`   // packs that it left though the index does not name them, because in one of them lies what snapshots miss
	Full      bool        `json:"full"`      // there was no room: what little could be done was done
}

// Deleted are snapshots that wait for their purge.
type Deleted struct {
	Snapshots int       `json:"snapshots"`
	Due       time.Time `json:"due,omitzero"` // a collection from then on purges the first of them
}

// Accepted is a snapshot that was lost, and counts as purged from now on.
type Accepted struct {
	Snapshot    repo.Name `json:"snapshot,omitzero"` // nothing where the one after it is gone, too
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Number      uint64    `json:"number"` // within the environment
}

// acceptedOf names lost snapshots, by those that were taken next.
func acceptedOf(lost []repo.PurgedOne, left []repo.Listed) []Accepted {
	type numbered struct {
		project, environment string
		number               uint64
	}
	names := map[numbered]repo.Name{}
	for _, s := range left {
		names[numbered{s.Project, s.Environment, s.Counter - 1}] = s.Predecessor
	}
	var all []Accepted
	for _, l := range lost {
		for n := l.First; n <= l.Last; n++ {
			all = append(all, Accepted{names[numbered{l.Project, l.Environment, n}], l.Project, l.Environment, n})
		}
	}
	slices.SortFunc(all, func(a, b Accepted) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.Environment, b.Environment), cmp.Compare(a.Number, b.Number))
	})
	return all
}

// Pending is a group that waits.
type Pending struct {
	Removal
	Due   time.Time        `json:"due"`   // a collection from then on removes it
	Waits []repo.Announced `json:"waits"` // if these have ended by then
}

// foresee says what would be done.
func (c *collection) foresee(s *survey, chosen *selection) {
	due := c.due(s)
	for _, g := range c.list.Groups {
		if due[g.Number] || g.State == repo.GroupSwept {
			there := 0
			for _, p := range g.Packs {
				if size, ok := s.stored[p]; ok {
					there++
					c.report.Freed.Bytes += uint64(size)
				}
			}
			if c.report.Freed.Packs += there; there > 0 {
				c.report.Freed.Gain += g.Bytes
			}
		}
	}
	for i := range chosen.packs {
		c.report.Condemned.add(chosen.packs[i].size, chosen.packs[i].gain())
	}
	c.report.Copied = chosen.rest()
	c.report.Accepted = append(c.report.Accepted, acceptedOf(c.accepted, c.left)...)
}
