package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"holdfast/bench/corpus"
	"holdfast/bench/report"
)

// compare is the command of that name.
func compare(ctx context.Context, args []string) error {
	o := newOptions("compare", "")
	runs := o.flags.Int("runs", 5, "how many runs")
	scale := o.flags.Float64("scale", 1, "size of the data")
	chosen := o.flags.String("steps", "first,unchanged,next day,restore", "these steps only; first and unchanged always are")
	count := o.flags.Bool("syncs", true, "count fsync and the like in a run of its own, which takes strace")
	if err := o.parse(args); err != nil {
		return err
	}
	steps, err := parseSteps(*chosen)
	if err != nil {
		return err
	}
	data, err := corpus.Of(o.kind, o.seed, *scale)
	if err != nil {
		return err
	}
	if *runs < 1 {
		return fmt.Errorf("--runs %d: want at least 1", *runs)
	}
	r, leftOut, err := o.start()
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	r.data, r.steps = data, steps
	c := newComparison(o.common("comparison", *scale, leftOut), r)
	if err := o.goOn(c); err != nil {
		return err
	}
	for c.Runs < *runs {
		r.say("run %d of %d: %s", c.Runs+1, *runs, c.Data)
		columns, size, err := r.once(ctx, c.Runs, r.timed)
		if err != nil {
			return err
		}
		c.Runs, c.Size = c.Runs+1, size
		for i, t := range c.Tools {
			t.Add(columns[i])
		}
		if err := o.save(c); err != nil {
			return err
		}
	}
	if *count && c.Tools[0].Syncs == nil {
		r.say("once more, counting fsync and the like; not timed")
		columns, _, err := r.once(ctx, 0, r.counted)
		if err != nil {
			return err
		}
		for i, t := range c.Tools {
			t.Syncs = columns[i].Syncs
		}
		if err := o.save(c); err != nil {
			return err
		}
	}
	return o.show(os.Stdout, c)
}

// newComparison returns what nothing was measured of yet.
func newComparison(common report.Common, r *race) *report.Comparison {
	c := &report.Comparison{Common: common}
	for _, at := range r.steps {
		c.Steps = append(c.Steps, at.String())
	}
	for _, t := range r.tools {
		c.Tools = append(c.Tools, &report.Tool{Name: t.name, Release: t.release(), Steps: map[string][]report.Measurement{}})
	}
	return c
}

// goOn takes over what an earlier call has measured of the same.
func (o *options) goOn(c *report.Comparison) error {
	held := new(report.Comparison)
	if err := o.resume(held); err != nil || held.Runs == 0 {
		return err
	}
	if err := o.same(held.Common, c.Common); err != nil {
		return err
	}
	if !slices.Equal(held.Steps, c.Steps) {
		return o.mismatch("choice of steps", held.Steps, c.Steps)
	}
	if held, now := toolNames(held), toolNames(c); held != now {
		return o.mismatch("set of tools", held, now)
	}
	*c = *held
	return nil
}

func toolNames(c *report.Comparison) string {
	var names []string
	for _, t := range c.Tools {
		names = append(names, strings.TrimSpace(t.Name+" "+t.Release))
	}
	return strings.Join(names, ", ")
}

// parseSteps reads a list of steps; the first two are always done, because the
// repository is measured after them.
func parseSteps(list string) ([]step, error) {
	chosen := []step{first, unchanged}
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(allSteps, func(s step) bool { return s.String() == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("--steps: want some of %v with commas between, found %q", allSteps, name)
		}
		if at := allSteps[i]; !slices.Contains(chosen, at) {
			chosen = append(chosen, at)
		}
	}
	slices.Sort(chosen)
	return chosen, nil
}
