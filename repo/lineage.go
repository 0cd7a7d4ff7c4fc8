package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// VanishedError says that snapshots which were there are gone, though nobody
// deleted them: their objects were removed from the storage.
type VanishedError struct {
	Project, Environment string
	Missing              uint64 // how many
	Newest               bool   // the newest ones
}

func (e *VanishedError) Error() string {
	which := "before the newest one that is left"
	if e.Newest {
		which = "after the newest one that is left"
	}
	return fmt.Sprintf("snapshots of the environment %s (project %s) have vanished from the repository without having been deleted: %d, %s",
		e.Environment, e.Project, e.Missing, which)
}

type lineKey struct{ project, environment string }

func (k lineKey) String() string { return k.project + "/" + k.environment }

// counters are the numbers of the snapshots that are accounted for.
type counters map[lineKey]map[uint64]bool

func (c counters) add(project, environment string, first, last uint64) {
	key := lineKey{project, environment}
	if c[key] == nil {
		c[key] = map[uint64]bool{}
	}
	for n := first; n <= last; n++ {
		c[key][n] = true
	}
}

func (c counters) highest(key lineKey) uint64 {
	highest := uint64(0)
	for n := range c[key] {
		highest = max(highest, n)
	}
	return highest
}

// Vanished compares the environments' counters with the snapshots that are
// there, with what was purged, and with what this machine saw last; then it
// remembers what it saw. all is what Snapshots returned, with no error that Hides.
// Where the list that says which are rightly gone is damaged, those count as vanished.
func (r *Repository) Vanished(ctx context.Context, all []Listed) (vanished []error, err error) {
	present := counters{}
	for _, s := range all {
		present.add(s.Project, s.Environment, s.Counter, s.Counter)
	}
	seen := r.seen()
	if vanished = present.vanished(seen); len(vanished) > 0 {
		err := r.addOthers(ctx, present)
		damaged, is := errors.AsType[*DamagedError](err)
		if err != nil && (!is || !strings.HasPrefix(damaged.Object, "condemned")) {
			return nil, err
		}
		vanished = present.vanished(seen)
		for i := range vanished {
			if is {
				vanished[i] = fmt.Errorf("%w; or some of them were purged: %s would say so, and is damaged", vanished[i], damaged.Object)
			}
		}
	}
	highest := map[string]uint64{}
	for key := range present {
		highest[key.String()] = present.highest(key)
	}
	r.remember(highest)
	return vanished, nil
}

func (c counters) vanished(seen map[string]uint64) (vanished []error) {
	for key, numbers := range c {
		highest := c.highest(key)
		if gap := highest - uint64(len(numbers)); gap > 0 {
			vanished = append(vanished, &VanishedError{Project: key.project, Environment: key.environment, Missing: gap})
		}
		if last := seen[key.String()]; last > highest {
			vanished = append(vanished, &VanishedError{Project: key.project, Environment: key.environment, Missing: last - highest, Newest: true})
		}
	}
	for name, last := range seen {
		if !c.has(name) && last > 0 {
			vanished = append(vanished, fmt.Errorf("all %d snapshots of %s have vanished from the repository without having been deleted", last, name))
		}
	}
	return vanished
}

func (c counters) has(name string) bool {
	for key := range c {
		if key.String() == name {
			return true
		}
	}
	return false
}

// addOthers adds the snapshots that have been committed since others were listed, and
// those that are rightly gone.
func (r *Repository) addOthers(ctx context.Context, to counters) error {
	all, err := r.Snapshots(ctx)
	if Hides(err) {
		return err
	}
	for _, s := range all {
		to.add(s.Project, s.Environment, s.Counter, s.Counter)
	}
	return r.addPurged(ctx, to)
}

// addPurged adds the snapshots that are rightly gone, or going. Where the list that
// says so is damaged it adds the others, and returns that.
func (r *Repository) addPurged(ctx context.Context, to counters) error {
	// One whose mark cannot be read counts as not purged, here and in Snapshots. Marks
	// go once the list has the number, so they are read before it is.
	marks, _, err := r.readableMarks(ctx)
	if err != nil {
		return err
	}
	list, damaged := r.Condemned(ctx)
	if damaged != nil && !isDamage(damaged) {
		return damaged
	}
	for key := range marks {
		if !marks.purged(key.name) || key.folder != "trash" {
			continue
		}
		s, err := r.committed(ctx, key.name)
		switch {
		case errors.Is(err, ErrNoSnapshot):
		case err != nil:
			return err
		default:
			to.add(s.Project, s.Environment, s.Counter, s.Counter)
		}
	}
	if damaged != nil {
		return damaged
	}
	for _, p := range list.Purged {
		to.add(p.Project, p.Environment, p.First, p.Last)
	}
	return nil
}

// Unaccounted returns the numbers of the snapshots that have vanished, as Vanished
// finds them.
func (r *Repository) Unaccounted(ctx context.Context, all []Listed) (gone []PurgedOne, err error) {
	present := counters{}
	for _, s := range all {
		present.add(s.Project, s.Environment, s.Counter, s.Counter)
	}
	seen := r.seen() // before they are listed again: it may tell of one that has just been committed
	if err := r.addOthers(ctx, present); err != nil {
		return nil, err
	}
	last := map[lineKey]uint64{}
	for key := range present {
		last[key] = present.highest(key)
	}
	for name, n := range seen {
		project, environment, _ := strings.Cut(name, "/") // no name has one
		key := lineKey{project, environment}
		last[key] = max(last[key], n)
	}
	for key, n := range last {
		for ; n > 0; n-- {
			if !present[key][n] {
				gone = append(gone, PurgedOne{Project: key.project, Environment: key.environment, First: n, Last: n})
			}
		}
	}
	return gone, nil
}

// LastCounter returns the highest number of an environment's snapshots that is known
// from elsewhere than those that are there: from what is rightly gone, and from what
// this machine saw. The next number follows that too: in the place of one that has
// vanished it would hide it.
func (r *Repository) LastCounter(ctx context.Context, project, environment string) (uint64, error) {
	gone, key := counters{}, lineKey{project, environment}
	err := r.addPurged(ctx, gone)
	return max(gone.highest(key), r.seen()[key.String()]), err
}
