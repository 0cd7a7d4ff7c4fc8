package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"holdfast/repo"
)

// parityOn is the action of "repo parity on".
func parityOn(ctx context.Context, app *env, o ParityOnOptions) error {
	return app.setParity(ctx, o.Percent)
}

// parityOff is the action of "repo parity off".
func parityOff(ctx context.Context, app *env, _ ParityOffOptions) error {
	return app.setParity(ctx, 0)
}

func (app *env) setParity(ctx context.Context, percent int) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.SetParity(ctx, percent, app.now()); err != nil {
		return err
	}
	covered, err := app.updateParity(ctx, r)
	switch {
	case err != nil && percent == 0:
		return &withHint{fmt.Errorf("parity is off, and not all of it is removed: %w", err), "\"holdfast repo parity off\" removes the rest"}
	case err != nil:
		return &withHint{fmt.Errorf("parity is on, and does not cover all yet: %w", err),
			"the next snapshot or \"holdfast repo gc\" covers the rest, where there is room; \"holdfast repo parity off\" removes it all"}
	}
	if err := app.tellParity(covered); err != nil {
		return err
	}
	if n := len(covered.Damaged); n > 0 {
		return &withHint{fmt.Errorf("%s damaged already and not covered, among them %s", severalAre(n, "object"), covered.Damaged[0]),
			"\"holdfast repo repair --dry-run\" says what can be mended"}
	}
	return nil
}

// parityStatus is the action of "repo parity status".
func parityStatus(ctx context.Context, app *env, _ ParityStatusOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	covered, err := r.ParityStatus(ctx)
	if err != nil {
		return err
	}
	return app.tellParity(covered)
}

func (app *env) updateParity(ctx context.Context, r *opened) (repo.Covered, error) {
	var read atomic.Int64
	stop := app.watch(func() progress { return progress{Step: "parity", Bytes: uint64(read.Load())} })
	defer stop()
	return r.UpdateParity(ctx, func(n int64) { read.Add(n) })
}

// keepParity covers what a command has stored, or what it has taken from beneath
// the parity, if parity is on. What the command did is done: that this failed is
// a warning, and the next command tries again.
func (app *env) keepParity(ctx context.Context, r *opened) {
	percent, err := r.Parity(ctx)
	if err == nil && percent > 0 {
		var covered repo.Covered
		if covered, err = app.updateParity(ctx, r); err == nil && len(covered.Damaged) > 0 {
			err = fmt.Errorf("%s is damaged and not covered; \"holdfast repo check\" says more", covered.Damaged[0])
		}
	}
	if err != nil {
		app.console.warn("parity is not up to date: %v", err)
	}
}

func (app *env) tellParity(c repo.Covered) error {
	return app.result(c, func(w io.Writer) error {
		if c.Percent == 0 && c.Groups == 0 {
			_, err := fmt.Fprintln(w, "Parity is off")
			return err
		}
		_, err := fmt.Fprintf(w, `Parity       %d %%, %s in %s
Covered      %s, %s
Not covered  %s
`, c.Percent, size(c.Parity), several(c.Groups, "group"), several(c.Objects, "object"), size(c.Bytes), several(c.Uncovered, "object"))
		if err != nil {
			return err
		}
		for _, object := range c.Damaged {
			if _, err := fmt.Fprintf(w, "Damaged      %s\n", object); err != nil {
				return err
			}
		}
		return nil
	})
}
