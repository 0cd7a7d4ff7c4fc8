// Command gen writes one of the corpora of package corpus into a directory.
//
//	go run ./bench/corpus/gen --to DIR [--kind mixed] [--scale 1] [--day N]
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
	kind := flag.String("kind", "mixed", corpus.Usage())
	seed := flag.Uint64("seed", 1, "seed of everything")
	scale := flag.Float64("scale", 1, "size of the data")
	day := flag.Int("day", 0, "0 creates; N changes the corpus of day N-1 into that of day N")
	flag.Parse()
	if *to == "" {
		return fmt.Errorf("--to DIR is needed")
	}
	chosen, err := corpus.Of(*kind, *seed, *scale)
	if err != nil {
		return err
	}
	if *day > 0 {
		return chosen.NextDay(ctx, *to, *day)
	}
	return chosen.Create(ctx, *to)
}
