// Command demo shows what Holdfast does, on a small site of its own, and proves
// it: every row and every byte that comes back is compared.
//
//	go run ./internal/demosite/demo --holdfast bin/holdfast
//
// It works in a directory that it makes and removes, needs no server, and ends
// with an error that says what differed if anything did.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	holdfast := flags.String("holdfast", "bin/holdfast", "the holdfast to use")
	scratch := flags.String("dir", "", "work beneath this directory (default: the directory for temporary files)")
	scale := flags.Float64("scale", 1, "size of the site; 1 is about 45 MB of rows and 90 MB of uploads")
	rate := flags.Int("rate", 40, "requests a second that visitors make")
	seed := flags.Uint64("seed", 1, "seed of the site and its visitors")
	keep := flags.Bool("keep", false, "leave everything there to look at")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *rate < 1 || *scale <= 0 {
		return fmt.Errorf("want a --rate of at least 1 and a --scale above 0, found %d and %v", *rate, *scale)
	}
	program, err := filepath.Abs(*holdfast)
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("there is no holdfast at %s: make build, or say where with --holdfast", program)
	}
	dir, err := os.MkdirTemp(*scratch, "holdfast-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if *keep {
			fmt.Printf("\nEverything is still in %s\n", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	d := &demo{out: os.Stdout, dir: dir, program: program, scale: *scale, rate: *rate, seed: *seed}
	return d.run(ctx)
}
