package gc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/storage"
	"holdfast/repo"
)

// survey is what a collection sees, in the order of G6.
type survey struct {
	settled map[uint64]bool    // groups
	stored  map[[32]byte]int64 // packs, and their sizes
	open    map[repo.Name]bool // sessions
	lasting []*repo.Snapshot   // snapshots that have no purge record
	going   []*repo.Snapshot   // those that have one, and may still be relied on
	dead    []repo.Kept        // those of the going that are in no group yet
	catalog *repo.Catalog
	absent  map[[32]byte]bool // packs that the index names and that are not there
	staying map[[32]byte]bool // packs that it does not name, and that hold what is missed or may be needed for it
}

func (c *collection) survey(ctx context.Context, settled map[uint64]bool) (s *survey, err error) {
	c.Progress("looking", 0)
	s = &survey{settled: settled, open: map[repo.Name]bool{}}
	if s.stored, err = c.repo.StoredPacks(ctx); err != nil {
		return nil, err
	}
	sessions, err := c.repo.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range sessions {
		// What this collection wrote and had no room to name in the index, nobody needs.
		s.open[a.Name] = a.Name != c.self || c.full == nil
	}
	if err := c.purge(ctx); err != nil {
		return nil, err
	}
	if err := c.sortSnapshots(ctx, s); err != nil {
		return nil, err
	}
	// What names the packs of the snapshots that were just seen is to be seen, too.
	if err := sleep(ctx, c.Settle); err != nil {
		return nil, err
	}
	if s.catalog, err = c.repo.Catalog(ctx); err != nil {
		return nil, err
	}
	for object, bad := range s.catalog.Bad {
		_ = s.catalog.Close() // the other error says it all
		return nil, &repo.DamagedError{Object: object, Err: fmt.Errorf("%w; nothing was collected: \"holdfast repo rebuild-index\" makes the index anew", bad)}
	}
	if err := c.findAbsent(ctx, s); err != nil {
		return nil, errors.Join(err, s.catalog.Close())
	}
	return s, nil
}

// findAbsent asks for the packs that were not listed, one by one: they may have been
// stored since, with the snapshot that needs them.
func (c *collection) findAbsent(ctx context.Context, s *survey) error {
	s.absent = map[[32]byte]bool{}
	for _, p := range s.catalog.Packs {
		if _, listed := s.stored[p.Name]; listed {
			continue
		}
		there, err := c.repo.HasPack(ctx, p.Name)
		if err != nil {
			return err
		}
		if !there {
			s.absent[p.Name] = true
		}
	}
	return nil
}

// purge takes the deleted snapshots for good whose grace period is over.
func (c *collection) purge(ctx context.Context) error {
	all, err := c.snapshots(ctx)
	if err != nil {
		return err
	}
	var names []repo.Name
	c.report.Deleted = Deleted{}
	for _, s := range all {
		if s.Pinned || s.Deleted.IsZero() {
			continue
		}
		if due := s.Deleted.Add(c.Grace); c.Now().Before(due) {
			c.report.Deleted.wait(due)
		} else {
			names = append(names, s.Name)
		}
	}
	if !c.DryRun {
		names, err = c.repo.MarkAll(ctx, names, repo.Purge, c.Now())
	}
	if errors.Is(err, storage.ErrFull) {
		err = c.noRoom(ctx, err) // the others follow when these have made some
	}
	c.report.Purged = append(c.report.Purged, names...)
	return err
}

// wait counts one that is purged from due on.
func (d *Deleted) wait(due time.Time) {
	if d.Snapshots++; d.Due.IsZero() || due.Before(d.Due) {
		d.Due = due
	}
}

// snapshots reads all that are not purged. What a snapshot needs that was lost, not
// deleted, is perhaps all that is left of it, so that is an error; a loss that is
// accepted is noted in the next list, for good. One that is missing may just not be
// seen yet, beside one that came later.
func (c *collection) snapshots(ctx context.Context) (all []repo.Listed, err error) {
	var vanished []error
	c.accepted, c.left = nil, nil
	blocked, err := c.repo.Obstacles(ctx, "snapshots") // what they stand in the place of is not listed
	if len(blocked) > 0 {
		err = fmt.Errorf("nothing was collected, because not all snapshots can be read: %w", blocked[0])
	}
	if err != nil {
		return nil, err
	}
	for range 2 {
		if all, err = c.repo.Snapshots(ctx); err != nil {
			return nil, fmt.Errorf("nothing was collected, because not all snapshots can be read: %w", err)
		}
		if vanished, err = c.repo.Vanished(ctx, all); err != nil || len(vanished) == 0 || c.Settle == 0 {
			break
		}
		if err := sleep(ctx, c.Settle); err != nil {
			return nil, err
		}
	}
	switch {
	case err != nil || len(vanished) == 0:
		return all, err
	case c.AcceptLoss:
		c.left = all
		c.accepted, err = c.repo.Unaccounted(ctx, all)
		return all, err
	}
	return nil, fmt.Errorf("%w: %w", ErrVanished, errors.Join(vanished...))
}

func (c *collection) sortSnapshots(ctx context.Context, s *survey) error {
	all, err := c.repo.Everything(ctx)
	if err != nil {
		return fmt.Errorf("nothing was collected, because not all snapshots can be read: %w", err)
	}
	for _, k := range all {
		purged := k.Purged || c.DryRun && !k.Pinned && !k.Deleted.IsZero() && !c.Now().Before(k.Deleted.Add(c.Grace))
		inGroup, gone := c.deadIn(k.Name, s.settled)
		switch {
		case gone:
		case inGroup:
			s.going = append(s.going, k.Snapshot)
		case purged:
			s.going = append(s.going, k.Snapshot)
			s.dead = append(s.dead, k)
		default:
			s.lasting = append(s.lasting, k.Snapshot)
		}
	}
	return nil
}

// deadIn reports whether a snapshot is dead in a group, and whether nobody can rely
// on it any more.
func (c *collection) deadIn(n repo.Name, settled map[uint64]bool) (inGroup, gone bool) {
	for _, g := range c.list.Groups {
		one := repo.Condemned{Groups: []repo.Group{g}}
		if one.Dead(n) {
			inGroup = true
			gone = gone || settled[g.Number]
		}
	}
	return inGroup, gone
}
