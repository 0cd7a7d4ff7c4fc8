package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/bench/corpus"
	"holdfast/bench/disk"
	"holdfast/bench/report"
)

// A race runs the tools side by side: within a run every tool does one step before
// any does the next, on the same data, each time beginning with another one.
// So what disturbs the machine disturbs all of them.
type race struct {
	self   string // this program
	dir    string // scratch
	data   corpus.Days
	tools  []tool
	steps  []step
	sparse bool // restore with holes
	log    io.Writer

	keepsCaches bool // do not empty the page cache; see forget
}

// allSteps is a whole run.
var allSteps = []step{first, unchanged, nextDay, restore}

// runner does one step of a tool and keeps what is worth keeping.
type runner func(ctx context.Context, p *place, at step, into *report.Tool) error

// once takes all tools through all steps, the number-th of them first, and
// returns what do has kept of each.
func (r *race) once(ctx context.Context, number int, do runner) ([]*report.Tool, disk.Size, error) {
	dir := filepath.Join(r.dir, fmt.Sprintf("run%d", number))
	columns, size, err := r.inside(ctx, dir, number, do)
	if removed := os.RemoveAll(dir); err == nil {
		err = removed
	}
	return columns, size, err
}

func (r *race) inside(ctx context.Context, dir string, number int, do runner) ([]*report.Tool, disk.Size, error) {
	r.forget()
	data, news := filepath.Join(dir, "corpus"), filepath.Join(dir, "news")
	if err := r.data.Create(ctx, data); err != nil {
		return nil, disk.Size{}, err
	}
	size, err := disk.Measure(data)
	if err != nil {
		return nil, disk.Size{}, err
	}
	places, columns := make([]*place, len(r.tools)), make([]*report.Tool, len(r.tools))
	for i, t := range r.tools {
		if places[i], err = newPlace(ctx, t, filepath.Join(dir, t.name), data, news); err != nil {
			return nil, disk.Size{}, err
		}
		places[i].sparse = r.sparse
		columns[i] = &report.Tool{Name: t.name, Steps: map[string][]report.Measurement{}}
	}
	var want disk.Contents
	for _, at := range r.steps {
		switch at {
		case nextDay:
			if err := r.data.NextDay(ctx, data, 1); err != nil {
				return nil, disk.Size{}, err
			}
			if err := r.data.News(ctx, news, 1); err != nil {
				return nil, disk.Size{}, err
			}
			if err := disk.Warm(ctx, news); err != nil {
				return nil, disk.Size{}, err
			}
		case restore:
			if want, err = disk.ContentsOf(ctx, data); err != nil {
				return nil, disk.Size{}, err
			}
		}
		for turn := range r.tools {
			i := (turn + number) % len(r.tools)
			if err := r.step(ctx, places[i], at, want, columns[i], do); err != nil {
				return nil, disk.Size{}, fmt.Errorf("%s, %s: %w", r.tools[i].name, at, err)
			}
		}
	}
	return columns, size, nil
}

// step does one step of one tool, everything that it reads in the page cache and
// everything that was written before on the disk.
func (r *race) step(ctx context.Context, p *place, at step, want disk.Contents, into *report.Tool, do runner) error {
	if at != restore {
		if err := disk.Warm(ctx, p.corpus); err != nil {
			return err
		}
		syscall.Sync()
		return do(ctx, p, at, into)
	}
	if err := r.beforeRestore(ctx, p); err != nil {
		return err
	}
	if err := do(ctx, p, at, into); err != nil {
		return err
	}
	if p.tool.unchecked {
		return nil
	}
	if err := want.Same(ctx, p.out); err != nil {
		return fmt.Errorf("it restored something else: %w", err)
	}
	return nil
}

// beforeRestore makes an empty directory to restore into. What was restored
// before stays where it is until the run ends: see forget.
func (r *race) beforeRestore(ctx context.Context, p *place) error {
	if err := p.newOut(); err != nil {
		return err
	}
	r.forget()
	p.tool.release() // so that the program is in the page cache again
	for _, dir := range []string{p.repo, p.home} {
		if err := disk.Warm(ctx, dir); err != nil {
			return err
		}
	}
	syscall.Sync()
	return nil
}

// forget makes the file system forget which files were deleted of late: ext4
// without a journal does not use their inodes for six minutes, and to find others
// takes it ten times the time that making a file takes otherwise, for as long as
// it has the old ones in its cache (recently_deleted in fs/ext4/ialloc.c). That
// needs root; without, every tool bears the same.
func (r *race) forget() {
	syscall.Sync()
	if r.keepsCaches {
		return
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		r.say("the page cache stays as it is: %v", err)
	}
}

// timed is the runner that measures a step, and the repository after it.
func (r *race) timed(ctx context.Context, p *place, at step, into *report.Tool) error {
	m, err := measure(ctx, r.self, p.step(at))
	if err != nil {
		return err
	}
	if at == restore {
		started := time.Now()
		if err := disk.Sync(p.out); err != nil {
			return err
		}
		m.Durable = m.Seconds + time.Since(started).Seconds()
	}
	r.say("  %-10s %-10s %8.2f s %8.2f s CPU %5d MB", at, p.tool.name, m.Seconds, m.CPU, m.Peak/1e6)
	into.Steps[at.String()] = append(into.Steps[at.String()], m)
	repository, err := disk.Measure(p.repo)
	if err != nil {
		return err
	}
	switch at {
	case unchanged:
		into.DayOne = append(into.DayOne, repository.Bytes)
		return r.alone(ctx, p, into)
	case nextDay:
		into.DayTwo = append(into.DayTwo, repository.Bytes)
	}
	return nil
}

// shortCommands is how often a command that takes milliseconds is run.
const shortCommands = 3

// alone measures the tool's short commands.
func (r *race) alone(ctx context.Context, p *place, into *report.Tool) error {
	into.Alone = map[string][]report.Measurement{}
	for range shortCommands {
		for _, s := range p.tool.alone {
			m, err := measure(ctx, r.self, p.command(s.line, s.env))
			if err != nil {
				return err
			}
			into.Alone[s.name] = append(into.Alone[s.name], m)
		}
	}
	return nil
}

// counted is the runner that counts the calls that wait for the disk.
func (r *race) counted(ctx context.Context, p *place, at step, into *report.Tool) error {
	syncs, err := countSyncs(ctx, p.step(at))
	if err != nil {
		return err
	}
	r.say("  %-10s %-10s %s", at, p.tool.name, syncs)
	if into.Syncs == nil {
		into.Syncs = map[string]report.Syncs{}
	}
	into.Syncs[at.String()] = syncs
	return nil
}
