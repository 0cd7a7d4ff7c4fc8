package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A data is a corpus: what it is on the first day and how it changes.
type data interface {
	Create(ctx context.Context, dir string) error
	NextDay(ctx context.Context, dir string, day int) error
}

// A race runs the tools side by side: within a run every tool does one step before
// any does the next, on the same data, each time beginning with another one.
// So what disturbs the machine disturbs all of them.
type race struct {
	self  string // this program
	dir   string // scratch
	data  data
	tools []tool
	log   io.Writer
}

// A column is what was measured of one tool, one value per run.
type column struct {
	Name     string                   `json:"name"`
	Release  string                   `json:"release,omitempty"`
	Steps    map[string][]measurement `json:"steps"`
	DayOne   []int64                  `json:"repository_day_1_bytes"`
	DayTwo   []int64                  `json:"repository_day_2_bytes"`
	measured [steps][]measurement
}

// run does one run after the other and returns a column per tool.
func (r *race) run(ctx context.Context, runs int) ([]column, size, error) {
	columns := make([]column, len(r.tools))
	for i, t := range r.tools {
		columns[i] = column{Name: t.name, Release: t.release(), Steps: map[string][]measurement{}}
	}
	var corpusSize size
	for number := range runs {
		fmt.Fprintf(r.log, "run %d of %d\n", number+1, runs)
		dir := filepath.Join(r.dir, fmt.Sprintf("run%d", number+1))
		var err error
		if corpusSize, err = r.once(ctx, dir, number, columns); err != nil {
			return nil, size{}, err
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, size{}, err
		}
	}
	for i := range columns {
		for s, values := range columns[i].measured {
			columns[i].Steps[step(s).String()] = values
		}
	}
	return columns, corpusSize, nil
}

func (r *race) once(ctx context.Context, dir string, number int, columns []column) (size, error) {
	corpus := filepath.Join(dir, "corpus")
	if err := r.data.Create(ctx, corpus); err != nil {
		return size{}, err
	}
	corpusSize, err := measureTree(corpus)
	if err != nil {
		return size{}, err
	}
	places := make([]place, len(r.tools))
	for i, t := range r.tools {
		places[i] = newPlace(filepath.Join(dir, t.name), corpus)
		if err := r.setUp(ctx, t, places[i]); err != nil {
			return size{}, err
		}
	}
	for at := range steps {
		if at == nextDay {
			if err := r.data.NextDay(ctx, corpus, 1); err != nil {
				return size{}, err
			}
		}
		for turn := range r.tools {
			i := (turn + number) % len(r.tools)
			if err := r.step(ctx, r.tools[i], places[i], at, &columns[i]); err != nil {
				return size{}, err
			}
		}
	}
	return corpusSize, nil
}

// setUp makes an empty repository.
func (r *race) setUp(ctx context.Context, t tool, p place) error {
	if err := p.prepare(t); err != nil {
		return err
	}
	for _, line := range t.setup {
		if _, err := measure(ctx, r.self, p.command(t, line, 0)); err != nil {
			return err
		}
	}
	return nil
}

// step measures one step of one tool, everything that it reads in the page cache
// and everything that was written before on the disk.
func (r *race) step(ctx context.Context, t tool, p place, at step, into *column) error {
	warm := p.corpus
	if at == restore {
		warm = p.repo
		if err := os.Mkdir(p.out, 0o700); err != nil {
			return err
		}
	}
	if _, err := measureTree(warm); err != nil {
		return err
	}
	syscall.Sync()
	m, err := measure(ctx, r.self, p.command(t, t.steps[at], at))
	if err != nil {
		return fmt.Errorf("%s, %s: %w", t.name, at, err)
	}
	fmt.Fprintf(r.log, "  %-10s %-10s %7.2f s %7.2f s CPU %5d MB\n", at, t.name, m.Seconds, m.CPU, m.Peak/1e6)
	into.measured[at] = append(into.measured[at], m)
	switch at {
	case unchanged, nextDay:
		repository, err := measureTree(p.repo)
		if err != nil {
			return err
		}
		if at == unchanged {
			into.DayOne = append(into.DayOne, repository.Bytes)
		} else {
			into.DayTwo = append(into.DayTwo, repository.Bytes)
		}
	case restore:
		if !t.unchecked {
			if err := sameTree(p.corpus, p.out); err != nil {
				return fmt.Errorf("%s restored something else: %w", t.name, err)
			}
		}
		return os.RemoveAll(p.out)
	}
	return nil
}
