// Command gen writes one of the corpora of package corpus into a directory.
//
//	go run ./bench/corpus/gen --to DIR [--kind mixed|small|dump] [--day N] …
//
// --day 0, the default, creates it; --day N makes of the corpus of day N-1 that
// of day N.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"holdfast/bench/corpus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	to := flag.String("to", "", "directory to write into")
	kind := flag.String("kind", "mixed", "mixed, small or dump")
	seed := flag.Uint64("seed", 1, "seed of everything")
	scale := flag.Float64("scale", 1, "size of the mixed corpus; 1 is 963 MB in 10,273 files")
	files := flag.Int("files", 200_000, "number of files of the small corpus")
	size := flag.Float64("gb", 4, "size of the dump, in GB")
	day := flag.Int("day", 0, "0 creates; N changes the corpus of day N-1 into that of day N")
	flag.Parse()
	if *to == "" {
		return fmt.Errorf("--to DIR is needed")
	}
	kinds := map[string]interface {
		Create(ctx context.Context, dir string) error
		NextDay(ctx context.Context, dir string, day int) error
	}{
		"mixed": corpus.Mixed{Seed: *seed, Scale: *scale},
		"small": corpus.Small{Seed: *seed, Files: *files},
		"dump":  corpus.Dump{Seed: *seed, Size: int64(*size * 1e9)},
	}
	chosen, ok := kinds[*kind]
	switch {
	case !ok:
		return fmt.Errorf("--kind %s: want mixed, small or dump", *kind)
	case *day > 0:
		return chosen.NextDay(ctx, *to, *day)
	default:
		return chosen.Create(ctx, *to)
	}
}
