package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/repo"
	"holdfast/repo/parity"
)

// What is neither data nor snapshot: what is no object, key slots, settings, parity.

func (c *checker) obstacles(ctx context.Context) error {
	all, err := c.repo.Obstacles(ctx, "")
	for _, o := range all {
		c.inTheWay[o.Object] = c.problem(o.Object, o.Err)
	}
	return err
}

func (c *checker) keys(ctx context.Context) error {
	if _, err := c.repo.Keys(ctx); err != nil {
		return c.found("keys", err)
	}
	stray, err := c.repo.StrayKeys(ctx)
	for _, object := range stray {
		c.note("%s says that it is of another repository, and opens nothing here: its beginning was damaged, or a killed \"holdfast init\" has left it", object)
	}
	return err
}

// settings looks at the records that no other step reads.
func (c *checker) settings(ctx context.Context) error {
	bad, err := c.repo.UnreadableSettings(ctx)
	for object, err := range bad {
		c.problem(object, err)
	}
	return err
}

// parity looks at the groups' descriptions and, with ReadData, at every parity
// block.
func (c *checker) parity(ctx context.Context) error {
	for g, err := range c.repo.ParityGroups(ctx) {
		if err != nil {
			return err
		}
		if g.Group == nil {
			c.problem(g.Object, g.Err)
			continue
		}
		if err := c.members(ctx, g); err != nil {
			return err
		}
		if !c.options.ReadData {
			continue
		}
		bad, err := c.repo.BadParity(ctx, g)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		if bad > 0 {
			c.problem(g.Object, fmt.Errorf("%d of its blocks are damaged", bad))
		}
	}
	return c.coverage(ctx)
}

// coverage remarks upon parity that is not as it is set.
func (c *checker) coverage(ctx context.Context) error {
	s, err := c.repo.ParityStatus(ctx)
	_, damaged := errors.AsType[*repo.DamagedError](err)
	switch {
	case damaged: // it was named
	case err != nil:
		return err
	case s.Percent > 0 && s.Uncovered > 0:
		c.note("parity is on; objects that it does not cover yet: %d; the next snapshot or \"holdfast repo gc\" covers them", s.Uncovered)
	case s.Percent == 0 && s.Groups > 0:
		c.note("parity is off; groups that are left of it: %d; \"holdfast repo parity off\" removes them", s.Groups)
	}
	return nil
}

// members names the snapshots that a group of parity has and that are gone, and the key
// slots that are not as it has them: nobody else may know of them. What is removed on
// purpose leaves its group first; other members are other steps' business.
func (c *checker) members(ctx context.Context, g parity.Stored) error {
	for _, m := range g.Group.Members {
		well, why := true, "is missing, and parity has it"
		var err error
		switch folder, _, _ := strings.Cut(m.Name, "/"); folder {
		case "snapshots":
			well, err = c.repo.HasObject(ctx, m.Name)
		case "keys":
			well, err = c.repo.HasSlot(ctx, m)
			why = "is not as parity has it"
		}
		if err != nil {
			return err
		} else if well || c.inTheWay[m.Name] != nil {
			continue
		}
		if there, err := c.repo.HasObject(ctx, g.Object); err != nil || !there {
			return err
		}
		c.problem(m.Name, errors.New(why))
	}
	return nil
}
