package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"holdfast/repo"
)

// stats is the action of "repo stats".
func stats(ctx context.Context, app *env, _ StatsOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, _, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	t, err := r.Totals(ctx)
	if err != nil {
		return err
	}
	parity, err := r.ParityStatus(ctx)
	if _, damaged := errors.AsType[*repo.DamagedError](err); damaged {
		app.console.warn("how much parity there is to be cannot be read: %v", err)
	} else if err != nil {
		return err
	}
	var held uint64
	for _, s := range all {
		if s.Deleted.IsZero() {
			t.Snapshots++
			held += s.Stats.Bytes
		}
	}
	doc := struct {
		Repository string `json:"repository"`
		ID         string `json:"id"`
		Held       uint64 `json:"held"` // bytes of all snapshots, as if each were whole
		repo.Totals
		Parity repo.Covered `json:"parity"`
	}{r.config.Repository, r.ID(), held, t, parity}
	return app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `Repository   %s
Id           %s
Snapshots    %d, which hold %s
Stored       %s in %s
Blobs        %s of %s, %s of them as differences
Index        %s; %s named by none
Parity       %s
`, r.config.Repository, r.ID(), t.Snapshots, size(held), size(t.Stored), several(t.Packs, "pack"),
			count(t.Blobs), size(t.Bytes), count(t.Deltas), several(t.Segments, "segment"), several(t.Unindexed, "pack"), parityText(parity))
		return err
	})
}

func parityText(c repo.Covered) string {
	if c.Percent == 0 && c.Groups == 0 {
		return "off"
	}
	return fmt.Sprintf("%d %%, %s; %s not covered", c.Percent, size(c.Parity), several(c.Uncovered, "object"))
}

// rebuildIndex is the action of "repo rebuild-index".
func rebuildIndex(ctx context.Context, app *env, _ RebuildIndexOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	var packs atomic.Uint64
	stop := app.watch(func() progress { return progress{Step: "reading packs", Files: packs.Load()} })
	defer stop()
	done, err := r.RebuildIndex(ctx, app.now, func(n, _ int) { packs.Store(uint64(n)) })
	stop()
	if err != nil {
		return err
	}
	if err := app.result(done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Index made anew from %s: %s in place of %d\n", several(done.Packs, "pack"), several(done.Segments, "segment"), done.Replaced)
		return err
	}); err != nil {
		return err
	}
	if len(done.Skipped) > 0 {
		var bad []error
		for _, object := range done.Skipped {
			bad = append(bad, fmt.Errorf("%s cannot be read and is not in the index", object))
		}
		return errors.Join(bad...)
	}
	return nil
}
