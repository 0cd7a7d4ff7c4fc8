// Command bench runs Holdfast side by side with restic, kopia and borg, where
// they are installed, and prints what each took: time, CPU, peak memory, bytes.
//
//	go run ./bench [--runs 5] [--data mixed|small|dump] [--scale 1] [--json]
//
// A run makes the corpus anew and takes every tool through a first snapshot, one
// with nothing changed, one of the next day and a restore, whose files are compared
// with the corpus byte by byte. The first column is the limit: the unavoidable part
// of the same work, done by this program on the same data in the same run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"holdfast/bench/corpus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch separates what people call from what this program calls itself for.
func dispatch(ctx context.Context, args []string) error {
	switch {
	case len(args) > 1 && args[0] == "measured":
		return measured(args[1:])
	case len(args) > 0 && args[0] == "limit":
		return runLimit(ctx, args[1:])
	}
	return compare(ctx, args)
}

func compare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	runs := flags.Int("runs", 5, "how many runs")
	kind := flags.String("data", "mixed", "mixed, small or dump")
	seed := flags.Uint64("seed", 1, "seed of the data")
	scale := flags.Float64("scale", 1, "size of the data; 1 is 963 MB mixed, 200,000 small files, a dump of 4 GB")
	holdfast := flags.String("holdfast", "bin/holdfast", "the holdfast to measure")
	only := flags.String("only", "", "these tools only, with commas between: limit,holdfast,restic,kopia,borg")
	scratch := flags.String("dir", "", "work beneath this directory, on the disk to measure (default: the directory for temporary files)")
	asJSON := flags.Bool("json", false, "print JSON with every single measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	kinds := map[string]data{
		"mixed": corpus.Mixed{Seed: *seed, Scale: *scale},
		"small": corpus.Small{Seed: *seed, Files: int(200_000 * *scale)},
		"dump":  corpus.Dump{Seed: *seed, Size: int64(4e9 * *scale)},
	}
	chosen, ok := kinds[*kind]
	if !ok || *runs < 1 || *scale <= 0 {
		return fmt.Errorf("want --data mixed, small or dump, --runs of at least 1 and a --scale above 0, found %s, %d and %v", *kind, *runs, *scale)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*scratch, "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	result := report{Machine: machine(), Data: fmt.Sprintf("%s, seed %d, scale %v", *kind, *seed, *scale), Runs: *runs}
	r := race{self: self, dir: dir, data: chosen, log: os.Stderr}
	r.tools, result.LeftOut = installed(tools(self, *holdfast), *only)
	for _, line := range result.LeftOut {
		fmt.Fprintln(os.Stderr, line)
	}
	if result.Tools, result.Size, err = r.run(ctx, *runs); err != nil {
		return err
	}
	if *asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	return result.text(os.Stdout)
}

// installed returns the tools that can run, and a line for each that cannot.
func installed(all []tool, only string) (found []tool, leftOut []string) {
	for _, t := range all {
		if only != "" && !slices.Contains(strings.Split(only, ","), t.name) {
			continue
		}
		if err := t.find(); err != nil {
			leftOut = append(leftOut, err.Error())
			continue
		}
		found = append(found, t)
	}
	return found, leftOut
}
