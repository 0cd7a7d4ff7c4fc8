package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"holdfast/bench/corpus"
	"holdfast/bench/report"
)

// curve is the command of that name: Holdfast alone, on data of several sizes.
func curve(ctx context.Context, args []string) error {
	o := newOptions("curve", report.Holdfast)
	runs := o.flags.Int("runs", 1, "how many runs of each size")
	list := o.flags.String("scales", "1,4,16", "sizes of the data, with commas between")
	if err := o.parse(args); err != nil {
		return err
	}
	if o.only != report.Holdfast || *runs < 1 {
		return fmt.Errorf("want --runs of at least 1 of %s only, found %d of %s", report.Holdfast, *runs, o.only)
	}
	scales, err := parseScales(*list)
	if err != nil {
		return err
	}
	r, leftOut, err := o.start()
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	r.steps = allSteps
	c := &report.Curve{Common: o.common("curve", 0, leftOut), Release: r.tools[0].release()}
	for _, at := range r.steps {
		c.Steps = append(c.Steps, at.String())
	}
	if err := o.goOnCurve(c); err != nil {
		return err
	}
	for _, scale := range scales {
		if slices.ContainsFunc(c.Points, func(p report.Point) bool { return p.Scale == scale }) {
			continue
		}
		if r.data, err = corpus.Of(o.kind, o.seed, scale); err != nil {
			return err
		}
		p := report.Point{Scale: scale, Tool: &report.Tool{Name: report.Holdfast, Steps: map[string][]report.Measurement{}}}
		for number := range *runs {
			r.say("run %d of %d: %s, scale %v", number+1, *runs, c.Data, scale)
			columns, size, err := r.once(ctx, number, r.timed)
			if err != nil {
				return err
			}
			p.Size = size
			p.Tool.Add(columns[0])
		}
		c.Points = append(c.Points, p)
		slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Compare(a.Scale, b.Scale) })
		if err := o.save(c); err != nil {
			return err
		}
	}
	return o.show(os.Stdout, c)
}

// goOnCurve takes over the sizes that an earlier call has measured.
func (o *options) goOnCurve(c *report.Curve) error {
	held := new(report.Curve)
	if err := o.resume(held); err != nil || len(held.Points) == 0 {
		return err
	}
	if err := o.same(held.Common, c.Common); err != nil {
		return err
	}
	if held.Release != c.Release {
		return o.mismatch("holdfast", held.Release, c.Release)
	}
	*c = *held
	return nil
}

func parseScales(list string) ([]float64, error) {
	var scales []float64
	for field := range strings.SplitSeq(list, ",") {
		scale, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || scale <= 0 {
			return nil, fmt.Errorf("--scales: want numbers above 0 with commas between, found %q", field)
		}
		scales = append(scales, scale)
	}
	return scales, nil
}
