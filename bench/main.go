// Command bench runs Holdfast side by side with restic, kopia and borg, where
// they are installed, and prints what each took: time, CPU, peak memory, bytes and
// calls that wait for the disk.
//
//	go run ./bench [compare] [--data mixed] [--runs 5] [--only holdfast,restic] …
//	go run ./bench curve  [--data dump] [--scales 0.25,1,4] …
//	go run ./bench days   [--data mixed] [--days 30] …
//	go run ./bench databases [--days 30] …
//	go run ./bench gate   [--rounds 5] …
//	go run ./bench render docs/benchmarks.md
//
// A run of compare makes the corpus anew and takes every tool through a first
// snapshot, one with nothing changed, one of the next day and a restore, whose
// files are compared with the corpus byte by byte. The first column is the limit:
// the unavoidable part of the same work (package limit), done on the same data in
// the same run. With --out FILE.json every finished run is kept there at once, and
// the next call with the same flags goes on from there.
//
// curve shows how Holdfast's time and memory grow with the data, days how
// repositories grow with time, databases the same with a database on a real server,
// saved by Holdfast and by dumps piped into the others; gate measures the gate beside
// nginx; and render puts what --out has written into a page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"holdfast/bench/limit"
	"holdfast/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch separates what people call from what this program calls itself for.
func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return compare(ctx, nil)
	}
	switch rest := args[1:]; args[0] {
	case "measured":
		return measured(rest)
	case "bareproxy":
		return bareProxy(rest)
	case "limit":
		return limit.Run(ctx, rest)
	case "compare":
		return compare(ctx, rest)
	case "curve":
		return curve(ctx, rest)
	case "days":
		return days(ctx, rest)
	case "databases":
		return databases(ctx, rest)
	case "gate":
		return gate(ctx, rest)
	case "render":
		return render(rest)
	}
	return compare(ctx, args)
}

// render fills a page's tables and writes it, if anything has changed.
func render(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("render: want one page, found %d", len(args))
	}
	text, empty, err := report.Render(args[0])
	if err != nil {
		return err
	}
	for _, name := range empty {
		fmt.Fprintf(os.Stderr, "%s is not measured yet\n", name)
	}
	return os.WriteFile(args[0], []byte(text), 0o644)
}
