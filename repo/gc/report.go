package gc

import (
	"time"

	"holdfast/repo"
)

// Amount is a number of packs, and bytes: those that are stored, or those that will
// be free when the rest has been copied to other packs.
type Amount struct {
	Packs int    `json:"packs"`
	Bytes uint64 `json:"bytes"`
}

func (a *Amount) add(bytes uint64) {
	a.Packs++
	a.Bytes += bytes
}

// Report says what a collection did; after a dry run, what it would have done.
type Report struct {
	DryRun    bool        `json:"dry_run"`
	Purged    []repo.Name `json:"purged"`  // snapshots that cannot be undeleted any more
	Freed     Amount      `json:"freed"`   // packs that were removed, without what of them is stored elsewhere now
	Removed   uint64      `json:"removed"` // bytes of these packs
	Condemned Amount      `json:"condemned"`
	Rewritten uint64      `json:"rewritten"` // bytes written anew, out of condemned packs; in a dry run, to be written
	Pending   []Pending   `json:"pending"`   // what is condemned and still there
	Ended     []repo.Name `json:"ended"`     // silent sessions
	Stored    Amount      `json:"stored"`    // packs that remain, the pending ones among them
	Full      bool        `json:"full"`      // there was no room: what little could be done was done
}

// Pending is a group that waits.
type Pending struct {
	Amount
	Due   time.Time        `json:"due"`   // a collection from then on deletes it
	Waits []repo.Announced `json:"waits"` // if these have ended by then
}

// foresee says what would be done.
func (c *collection) foresee(s *survey, chosen *selection) {
	due := c.due(s.settled)
	for _, g := range c.list.Groups {
		if due[g.Number] || g.State == repo.GroupSwept {
			c.report.Freed.Packs += len(g.Packs)
			c.report.Freed.Bytes += g.Bytes
			for _, p := range g.Packs {
				c.report.Removed += uint64(s.stored[p])
			}
		}
	}
	for i := range chosen.packs {
		c.report.Condemned.add(chosen.packs[i].gain())
	}
	c.report.Rewritten = chosen.rest()
}
