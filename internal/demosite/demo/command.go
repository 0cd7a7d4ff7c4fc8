package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// holdfast runs one command of the program as a user would type it, shows it
// with what it writes, and returns what it wrote to standard output.
func (d *demo) holdfast(ctx context.Context, args ...string) (result string, took time.Duration, err error) {
	fmt.Fprintf(d.out, "\n$ holdfast %s\n", shown(args))
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, d.program, args...)
	command.Dir = d.dir
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "XDG_CACHE_HOME=" + filepath.Join(d.dir, "cache"),
		"HOLDFAST_CONFIG=" + filepath.Join(d.dir, "holdfast.yaml"), "HOLDFAST_PASSWORD_FILE=" + filepath.Join(d.dir, "password"),
	}
	if zone, ok := os.LookupEnv("TZ"); ok { // set but empty, it would mean UTC
		command.Env = append(command.Env, "TZ="+zone)
	}
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) } // it ends cleanly
	start := time.Now()
	err = command.Run()
	took = time.Since(start)
	for line := range strings.Lines(stderr.String() + stdout.String()) {
		fmt.Fprintf(d.out, "  %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(d.out, "  (%s)\n", seconds(took))
	if err != nil {
		return "", took, fmt.Errorf("holdfast %s: %w", shown(args), err)
	}
	return stdout.String(), took, nil
}

// shown returns args as they are typed.
func shown(args []string) string {
	quoted := make([]string, len(args))
	for i, argument := range args {
		quoted[i] = argument
		if strings.Contains(argument, " ") {
			quoted[i] = `"` + argument + `"`
		}
	}
	return strings.Join(quoted, " ")
}

// bytesIn returns the lengths of all files below path, which may be a file.
func bytesIn(path string) (int64, error) {
	var total int64
	err := filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func seconds(took time.Duration) string { return fmt.Sprintf("%.2f s", took.Seconds()) }
