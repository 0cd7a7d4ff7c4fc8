package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gateTime is how long the gate may take to begin, or to end.
const gateTime = 20 * time.Second

// gate puts a gate in front of the site and returns where visitors reach it. stop
// ends it.
func (d *demo) gate(ctx context.Context, site string) (address string, stop func() error, err error) {
	args := []string{"gate", "--listen", "127.0.0.1:0", "--upstream", site, "--control", "unix:" + d.path("gate.sock")}
	fmt.Fprintf(d.out, "\n$ holdfast %s &\n", shown(args))
	command := exec.CommandContext(ctx, d.program, args...)
	command.Dir = d.dir
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // stop reaches it through whatever wraps it
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = gateTime
	stderr, err := command.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	fmt.Fprintf(d.out, "  %s\n", strings.TrimSpace(line))
	_, rest, found := strings.Cut(line, "listening on ")
	address, _, _ = strings.Cut(rest, ",")
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, said) }) // until it ends
	stop = func() error {
		killed := syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
		reading.Wait()
		if err := errors.Join(killed, command.Wait()); err != nil {
			return fmt.Errorf("the gate ended with %w", err)
		}
		return nil
	}
	if err != nil || !found {
		return "", nil, errors.Join(fmt.Errorf("the gate said %q, want where it listens", line), err, stop())
	}
	return "http://" + address, stop, nil
}
