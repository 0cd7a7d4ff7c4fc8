package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"holdfast/bench/report"
)

// A command is a program to be measured.
type command struct {
	program string
	args    []string
	env     []string
	dir     string
}

func (c command) String() string { return c.program + " " + strings.Join(c.args, " ") }

// measure runs c to its end. A command that fails is an error with the last
// lines that it wrote.
//
// It runs beneath a small process of this same program: on Linux a process
// inherits the peak memory of whoever started it, and this one has verified
// whole corpora.
func measure(ctx context.Context, self string, c command) (report.Measurement, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return report.Measurement{}, err
	}
	defer reader.Close()
	var output bytes.Buffer
	child := exec.CommandContext(ctx, self, append([]string{"measured", c.program}, c.args...)...)
	child.Env, child.Dir = c.env, c.dir
	child.Stdout, child.Stderr = &output, &output
	child.ExtraFiles = []*os.File{writer}
	err = child.Start()
	writer.Close()
	if err == nil {
		err = child.Wait()
	}
	if err != nil {
		return report.Measurement{}, fmt.Errorf("%s: %w\n%s", c, err, tail(output.Bytes()))
	}
	var m report.Measurement
	if err := json.NewDecoder(reader).Decode(&m); err != nil {
		return m, fmt.Errorf("measure %s: %w", c.program, err)
	}
	return m, nil
}

func tail(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// measured is the small process: it runs the command, writes the measurement to
// file descriptor 3 and ends as the command did.
func measured(args []string) error {
	if len(args) == 0 {
		return errors.New("measured: want a program")
	}
	syscall.CloseOnExec(3)
	runtime.LockOSThread() // Pdeathsig is sent when the thread ends
	child := exec.Command(args[0], args[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	err := child.Run()
	m := report.Measurement{Seconds: time.Since(start).Seconds()}
	if err != nil {
		return err
	}
	usage, ok := child.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("no resource usage on this system")
	}
	m.CPU = (child.ProcessState.UserTime() + child.ProcessState.SystemTime()).Seconds()
	m.Peak = usage.Maxrss * 1024 // Linux counts in KiB
	return json.NewEncoder(os.NewFile(3, "measurement")).Encode(m)
}
