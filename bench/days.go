package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/bench/corpus"
	"holdfast/bench/disk"
	"holdfast/bench/report"
)

// days is the command of that name: a snapshot per simulated day, all of them
// kept, and a restore of the last.
func days(ctx context.Context, args []string) error {
	o := newOptions("days", "holdfast,restic,kopia")
	number := o.flags.Int("days", 30, "how many days after the first")
	scale := o.flags.Float64("scale", 1, "size of the data")
	if err := o.parse(args); err != nil {
		return err
	}
	data, err := corpus.Of(o.kind, o.seed, *scale)
	if err != nil {
		return err
	}
	if *number < 1 {
		return fmt.Errorf("--days %d: want at least 1", *number)
	}
	r, leftOut, err := o.start()
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	r.data = data
	d := &report.Days{Common: o.common("days", *scale, leftOut), Days: *number}
	if d.Tools, err = r.month(ctx, *number); err != nil {
		return err
	}
	if err := o.save(d); err != nil {
		return err
	}
	return o.show(os.Stdout, d)
}

// month plays the days through.
func (r *race) month(ctx context.Context, number int) ([]*report.DaysTool, error) {
	data := filepath.Join(r.dir, "corpus")
	places, columns := make([]*place, len(r.tools)), make([]*report.DaysTool, len(r.tools))
	var err error
	for i, t := range r.tools {
		if places[i], err = newPlace(ctx, t, filepath.Join(r.dir, t.name), data, ""); err != nil {
			return nil, err
		}
		places[i].sparse = r.sparse
		columns[i] = &report.DaysTool{Name: t.name, Release: t.release()}
	}
	for day := range number + 1 {
		if day == 0 {
			err = r.data.Create(ctx, data)
		} else {
			err = r.data.NextDay(ctx, data, day)
		}
		if err != nil {
			return nil, err
		}
		for turn := range r.tools {
			i := (turn + day) % len(r.tools)
			if err := r.day(ctx, places[i], day, columns[i]); err != nil {
				return nil, fmt.Errorf("%s, day %d: %w", r.tools[i].name, day, err)
			}
		}
	}
	want, err := disk.ContentsOf(ctx, data)
	if err != nil {
		return nil, err
	}
	for i, p := range places {
		if err := r.restoreLast(ctx, p, want, columns[i]); err != nil {
			return nil, fmt.Errorf("%s, restore: %w", p.tool.name, err)
		}
	}
	return columns, nil
}

// day takes one snapshot.
func (r *race) day(ctx context.Context, p *place, day int, into *report.DaysTool) error {
	if err := disk.Warm(ctx, p.corpus); err != nil {
		return err
	}
	syscall.Sync()
	at := nextDay
	if day == 0 {
		at = first
	}
	m, err := measure(ctx, r.self, p.step(at))
	if err != nil {
		return err
	}
	repository, err := disk.Measure(p.repo)
	if err != nil {
		return err
	}
	r.say("  day %-3d %-10s %8.2f s %8.2f s CPU %5d MB; repository %.1f MiB", day, p.tool.name, m.Seconds, m.CPU, m.Peak/1e6, float64(repository.Bytes)/(1<<20))
	into.Create = append(into.Create, m)
	into.Repository = append(into.Repository, repository.Bytes)
	return nil
}

// restoreLast restores the last snapshot twice, once timed and once counting what
// is read: of the repository, or of what the tool has put aside of it at home.
func (r *race) restoreLast(ctx context.Context, p *place, want disk.Contents, into *report.DaysTool) error {
	for _, do := range []func() error{
		func() (err error) {
			into.Restore, err = measure(ctx, r.self, p.step(restore))
			return err
		},
		func() (err error) {
			into.Read, err = countReads(ctx, p.step(restore), p.repo, p.home)
			return err
		},
	} {
		if err := r.beforeRestore(ctx, p); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
		if err := want.Same(ctx, p.out); err != nil {
			return fmt.Errorf("it restored something else: %w", err)
		}
		restored, err := disk.Measure(p.out)
		if err != nil {
			return err
		}
		into.Restored = restored.Bytes
	}
	r.say("  restore %-10s %8.2f s; read %d MB, %d of them different", p.tool.name, into.Restore.Seconds, into.Read.All/1e6, into.Read.Once/1e6)
	return nil
}
