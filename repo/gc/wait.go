package gc

import (
	"context"
	"slices"
	"time"

	"holdfast/repo"
)

// announce fixes whom the newly condemned groups have to wait for (G4).
func (c *collection) announce(ctx context.Context) error {
	if !slices.ContainsFunc(c.list.Groups, func(g repo.Group) bool { return g.State == repo.GroupCondemned }) {
		return nil
	}
	c.Progress("announcing", 0)
	// Once for the list to be seen by who opens a session, once for the session to be
	// seen here.
	if err := sleep(ctx, 2*c.Settle); err != nil {
		return err
	}
	open, err := c.repo.Sessions(ctx)
	if err != nil {
		return err
	}
	var waits []repo.Name
	for _, a := range open {
		if a.Kind != repo.Collect {
			waits = append(waits, a.Name)
		}
	}
	next := c.next()
	for i := range next.Groups {
		if g := &next.Groups[i]; g.State == repo.GroupCondemned {
			g.State, g.Waits = repo.GroupAnnounced, waits
		}
	}
	return c.publish(ctx, next)
}

// pollEvery is how often sessions that are waited for are looked at.
const pollEvery = time.Second

// await ends silent sessions, whoever waits for them, and waits, for a bounded
// time, until no session is left that the groups which are due have to wait for (G5).
func (c *collection) await(ctx context.Context) error {
	for waited := time.Duration(0); ; waited += pollEvery {
		if err := c.endSilent(ctx); err != nil {
			return err
		}
		open, err := c.waitedFor(ctx)
		if err != nil || len(open) == 0 || waited >= c.Wait {
			return err // what is left waits for the next collection
		}
		c.Progress("waiting for "+open[0].Kind+" "+open[0].Name.String(), 0)
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

func (c *collection) endSilent(ctx context.Context) error {
	if c.Silent == nil {
		return nil
	}
	open, err := c.repo.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, a := range open {
		if a.Name == c.self {
			continue
		}
		silent, err := c.Silent(ctx, a)
		if err != nil {
			return err
		}
		if !silent {
			continue
		}
		if err := c.repo.EndSession(ctx, a); err != nil {
			return err
		}
		c.report.Ended = append(c.report.Ended, a.Name)
	}
	return nil
}

func (c *collection) waitedFor(ctx context.Context) ([]repo.Announced, error) {
	var names []repo.Name
	for _, g := range c.list.Groups {
		if g.State == repo.GroupAnnounced && c.old(&g) {
			names = append(names, g.Waits...)
		}
	}
	return c.openOnes(ctx, names)
}

// openOnes returns those of the sessions that have not ended, each asked for by
// its name: a listing may be stale.
func (c *collection) openOnes(ctx context.Context, names []repo.Name) ([]repo.Announced, error) {
	open := []repo.Announced{}
	asked := map[repo.Name]bool{}
	for _, n := range names {
		if asked[n] {
			continue
		}
		asked[n] = true
		a, is, err := c.repo.Announced(ctx, n)
		if err != nil {
			return nil, err
		}
		if is {
			open = append(open, a)
		}
	}
	return open, nil
}

func (c *collection) old(g *repo.Group) bool { return !c.Now().Before(g.At.Add(c.Grace)) }

// settled returns the groups for which nobody has to be waited any more.
func (c *collection) settled(ctx context.Context) (map[uint64]bool, error) {
	settled := map[uint64]bool{}
	for _, g := range c.list.Groups {
		if g.State == repo.GroupCondemned {
			continue
		}
		open, err := c.openOnes(ctx, g.Waits)
		if err != nil {
			return nil, err
		}
		settled[g.Number] = len(open) == 0
	}
	return settled, nil
}

// due returns the settled groups that are old enough to be swept, and of which nothing
// is to stay.
func (c *collection) due(s *survey) map[uint64]bool {
	due := map[uint64]bool{}
	for _, g := range c.list.Groups {
		stays := slices.ContainsFunc(g.Packs, func(p [32]byte) bool { return s.staying[p] })
		if s.settled[g.Number] && g.State == repo.GroupAnnounced && c.old(&g) && !stays {
			due[g.Number] = true
		}
	}
	return due
}
