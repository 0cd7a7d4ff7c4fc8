package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"holdfast/bench/report"
)

// trace runs c beneath strace and gives each line about one of the calls to see.
// A call that another thread interrupts is given as one line, when it ends.
func trace(ctx context.Context, c command, calls string, see func(call string)) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return errors.New("strace is not installed: apt-get install strace, or make bench-peers")
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	var output bytes.Buffer
	args := []string{"-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e", "signal=none", "-e", "trace=" + calls, "-o", "/dev/fd/3", c.program}
	child := exec.CommandContext(ctx, strace, append(args, c.args...)...)
	child.Env, child.Dir = c.env, c.dir
	child.Stdout, child.Stderr = &output, &output
	child.ExtraFiles = []*os.File{writer}
	err = child.Start()
	writer.Close()
	if err != nil {
		return err
	}
	seen := eachCall(reader, see)
	if err := child.Wait(); err != nil {
		return fmt.Errorf("strace %s: %w\n%s", c, err, tail(output.Bytes()))
	}
	return seen
}

// eachCall reads what strace writes: "PID call(arguments) = result", or in two
// lines "PID call(arguments <unfinished ...>" and "PID <... call resumed>rest".
func eachCall(r io.Reader, see func(call string)) error {
	begun := map[string]string{} // by process
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		process, call, _ := strings.Cut(lines.Text(), " ")
		call = strings.TrimLeft(call, " ")
		if start, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			begun[process] = start
			continue
		}
		if rest, ok := strings.CutPrefix(call, "<... "); ok {
			_, rest, _ = strings.Cut(rest, " resumed>")
			call = begun[process] + rest
			delete(begun, process)
		}
		see(call)
	}
	for _, call := range begun { // of threads that ended with the program
		see(call)
	}
	return lines.Err()
}

// syncCalls are the calls that wait for the disk, or tell it to begin, and those
// that may open a file for writing that way.
const syncCalls = "fsync,fdatasync,syncfs,sync,sync_file_range,msync,pwritev2,openat,open"

// countSyncs runs c and counts its calls that wait for the disk.
func countSyncs(ctx context.Context, c command) (report.Syncs, error) {
	syncs := report.Syncs{}
	err := trace(ctx, c, syncCalls, func(call string) {
		name, arguments, _ := strings.Cut(call, "(")
		switch name {
		case "open", "openat":
			flags, _, _ := strings.Cut(arguments[strings.LastIndex(arguments, `", `)+1:], ")")
			switch {
			case strings.Contains(flags, "O_SYNC"):
				syncs["open O_SYNC"]++
			case strings.Contains(flags, "O_DSYNC"):
				syncs["open O_DSYNC"]++
			}
		case "pwritev2":
			if strings.Contains(arguments, "RWF_SYNC") || strings.Contains(arguments, "RWF_DSYNC") {
				syncs[name]++
			}
		case "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "msync":
			syncs[name]++
		}
	})
	return syncs, err
}
