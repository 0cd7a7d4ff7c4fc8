package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"holdfast/index"
	"holdfast/repo"
	"holdfast/repo/pack"
)

// packs compares what is stored with what the index says.
func (c *checker) packs(ctx context.Context) error {
	stored, err := c.repo.StoredPacks(ctx)
	if err != nil {
		return err
	}
	c.report.Packs, c.stored = len(stored), stored
	indexed := map[[32]byte]bool{}
	packs, err := c.repo.IndexedPacks(ctx)
	if err != nil {
		return err
	}
	deleted, err := c.deleted(ctx)
	if err != nil {
		return err
	}
	unnamed := 0
	for _, p := range packs {
		indexed[p.Name] = true
		size, ok := stored[p.Name]
		switch {
		case !ok && deleted[p.Name]:
			c.badPacks[p.Name] = &Problem{Object: pack.ObjectName(p.Name), Err: errMissing, deleted: true}
			unnamed++
		case !ok:
			c.badPacks[p.Name] = c.missing(pack.ObjectName(p.Name))
		case size != int64(p.Size):
			c.badPacks[p.Name] = c.problem(pack.ObjectName(p.Name), fmt.Errorf("has %d bytes, the index says %d", size, p.Size))
		}
	}
	if unnamed > 0 {
		c.note("packs that a collection has deleted, and that the index still names because there was no room to write it, or it was made anew meanwhile: %d; \"holdfast repo gc\" sees to it", unnamed)
	}
	for name := range stored {
		if !indexed[name] {
			c.unnamed = append(c.unnamed, name)
		}
	}
	return c.readPacks(ctx, stored)
}

// deleted returns the packs that a collection has decided to delete. Which these are
// nobody knows where the list cannot be read, and that was told.
func (c *checker) deleted(ctx context.Context) (map[[32]byte]bool, error) {
	list, err := c.repo.Condemned(ctx)
	if err != nil {
		return nil, ctx.Err()
	}
	return list.Swept(), nil
}

var errMissing = errors.New("is missing")

// unindexed tells of packs that no segment names. Where segments are known to be
// missing or damaged they are what was in those.
func (c *checker) unindexed(ctx context.Context) error {
	if len(c.unnamed) == 0 || c.partial {
		return nil
	}
	forgotten, err := c.repo.Forgotten(ctx, c.stored, c.unnamed)
	if err != nil {
		return err
	}
	if n := len(forgotten); n > 0 {
		c.problem("index", fmt.Errorf("part of the index is missing: no segment names %d packs, which snapshots have stored", n))
	}
	told := map[[32]byte]bool{}
	for _, name := range forgotten {
		told[name] = true
	}
	others := slices.DeleteFunc(c.unnamed, func(name [32]byte) bool { return told[name] })
	if err := c.missedEarlier(ctx); err != nil {
		return err
	}
	holding, err := c.repo.Holding(ctx, c.stored, others, &c.missed)
	if err != nil {
		return err
	}
	if n := len(holding); n > 0 {
		c.problem("packs", fmt.Errorf("some hold what snapshots miss, and no index segment names them: %d", n))
	}
	if unfinished := len(others) - len(holding); unfinished > 0 {
		c.note("packs of unfinished work, which no index segment names: %d; \"holdfast repo gc\" removes them", unfinished)
	}
	return nil
}

// missedEarlier adds what snapshots miss of which a repair has recorded that it is lost.
func (c *checker) missedEarlier(ctx context.Context) error {
	survey := c.repo.NewSurvey(func(e *index.Entry) error {
		if p := c.bad(e); p != nil {
			return p
		}
		return nil
	})
	survey.Missed = &c.missed
	for _, s := range c.damaged {
		if _, err := survey.Walk(ctx, s.Whole, "", func(string, error) {}); err != nil {
			return err
		}
	}
	return nil
}

// missing files that an object is not there, unless it was told what stands in its place.
func (c *checker) missing(object string) *Problem {
	if p := c.inTheWay[object]; p != nil {
		return p
	}
	return c.problem(object, errMissing)
}

func (c *checker) readPacks(ctx context.Context, stored map[[32]byte]int64) error {
	r := newReading(c.options)
	if r.part.None() {
		return nil
	}
	chosen, earlier := r.choose(stored)
	c.report.Earlier = earlier
	total := int64(0)
	for _, name := range chosen {
		total += stored[name]
	}
	defer r.keep()
	for _, name := range chosen {
		if err := r.wait(ctx, stored[name]); err != nil {
			return err
		}
		problems := len(c.report.Problems)
		if c.badPacks[name] == nil {
			if err := c.readPack(ctx, name); err != nil {
				return err
			}
		}
		c.report.BytesRead += uint64(stored[name])
		c.report.PacksRead++
		if c.options.Progress != nil {
			c.options.Progress(int64(c.report.BytesRead), total)
		}
		r.done(name, len(c.report.Problems) > problems)
	}
	r.finish()
	return c.settleGone(ctx)
}

// settleGone decides about the packs that were there and were gone when they were to be
// read: those that the list of condemned packs tells, or the index names no more, somebody
// has collected meanwhile.
func (c *checker) settleGone(ctx context.Context) error {
	if len(c.gone) == 0 {
		return nil
	}
	if err := c.repo.Refresh(ctx); err != nil {
		return err
	}
	indexed, err := c.repo.IndexedPacks(ctx)
	if err != nil {
		return err
	}
	deleted, err := c.deleted(ctx)
	if err != nil {
		return err
	}
	for _, name := range c.gone {
		object := pack.ObjectName(name)
		if _, named := indexed[name]; named && !deleted[name] {
			c.badPacks[name] = c.missing(object)
		} else {
			c.badPacks[name] = &Problem{Object: object, Err: errMissing, deleted: true}
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
	if errors.Is(err, fs.ErrNotExist) {
		c.gone = append(c.gone, name)
		return nil
	}
	if err != nil {
		c.badPacks[name] = c.problem(object, err)
	}
	for _, b := range bad {
		if b.Base { // that it is missing matters only to what needs it: the survey tells
			if _, damaged := errors.AsType[*repo.DamagedError](b.Err); damaged {
				c.blamed(b.Err)
			}
			continue
		}
		c.badCopies[copyKey{name, b.Number}] = c.problem(object, fmt.Errorf("blob %s: %w", b.ID.Short(), b.Err))
	}
	return nil
}
