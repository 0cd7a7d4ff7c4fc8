package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/bench/load"
	"holdfast/bench/report"
	"holdfast/quiesce"
)

// gateRace is one measurement of the gate.
type gateRace struct {
	dir      string // of its own
	holdfast string
	site     string // HOST:PORT of nginx, which answers by itself
	nginx    string // HOST:PORT of nginx, as a proxy before site
	bare     string // HOST:PORT of Go's own proxy before site
	gate     string // HOST:PORT of the gate before site
	control  quiesce.Client
	gatePID  int
}

// gate is the command of that name.
func gate(ctx context.Context, args []string) error {
	o := &options{flags: flag.NewFlagSet("bench gate", flag.ContinueOnError)}
	o.flags.StringVar(&o.holdfast, "holdfast", "bin/holdfast", "the holdfast to measure")
	o.flags.StringVar(&o.scratch, "dir", "", "work beneath this directory (default: the directory for temporary files)")
	o.flags.StringVar(&o.out, "out", "", "write the result to this JSON file, too")
	o.flags.BoolVar(&o.json, "json", false, "print JSON")
	rounds := o.flags.Int("rounds", 5, "how often each is measured, in turn")
	length := o.flags.Duration("for", 5*time.Second, "how long a round takes")
	rate := o.flags.Int("rate", 500, "requests a second, for latency")
	clients := o.flags.Int("clients", 64, "connections, for throughput")
	held := o.flags.Int("held", 10_000, "requests held at once")
	if err := o.parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *rate < 1 || *clients < 1 || *held < 1 || *length < 100*time.Millisecond {
		return errors.New("gate: want positive numbers, and rounds of at least 100ms")
	}
	dir, err := os.MkdirTemp(o.scratch, "holdfast-bench-gate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &gateRace{dir: dir, holdfast: o.holdfast}
	stop, err := r.start(ctx)
	defer stop()
	if err != nil {
		return err
	}
	result := &report.Gate{Common: report.Common{Kind: "gate", Machine: machine()}, Site: "nginx, 1 KiB from memory",
		Rate: *rate, Clients: *clients, Rounds: *rounds}
	if err := r.latencies(ctx, result, *length); err != nil {
		return err
	}
	if err := r.rates(ctx, result, *length); err != nil {
		return err
	}
	if result.Held, err = r.hold(ctx, *held); err != nil {
		return err
	}
	if err := o.save(result); err != nil {
		return err
	}
	return o.show(os.Stdout, result)
}

// latencies measures all ways in turn.
func (r *gateRace) latencies(ctx context.Context, into *report.Gate, length time.Duration) error {
	ways := []struct {
		address string
		into    *report.Latency
		took    []time.Duration
	}{{address: r.site, into: &into.Direct}, {address: r.nginx, into: &into.NginxIdle}, {address: r.bare, into: &into.BareIdle}, {address: r.gate, into: &into.Idle}}
	for range into.Rounds {
		for i := range ways {
			way := &ways[i]
			took, err := load.Paced(ctx, way.address, into.Rate, length)
			if err != nil {
				return err
			}
			way.into.Rounds = append(way.into.Rounds, latencyOf(took).P99)
			way.took = append(way.took, took...)
		}
	}
	for _, way := range ways {
		all := latencyOf(way.took)
		all.Rounds = way.into.Rounds
		*way.into = all
	}
	return nil
}

func latencyOf(took []time.Duration) report.Latency {
	slices.Sort(took)
	n := len(took)
	return report.Latency{Requests: n, Median: took[n/2], P99: took[n*99/100], Worst: took[n-1]}
}

// rates measures all ways in turn.
func (r *gateRace) rates(ctx context.Context, into *report.Gate, length time.Duration) error {
	ways := []struct {
		address string
		rate    *report.Rate
	}{{r.site, &into.NoProxy}, {r.nginx, &into.Nginx}, {r.bare, &into.Bare}, {r.gate, &into.Gate}}
	for range into.Rounds {
		for _, way := range ways {
			n, err := load.Full(ctx, way.address, into.Clients, length)
			if err != nil {
				return err
			}
			way.rate.Rounds = append(way.rate.Rounds, float64(n)/length.Seconds())
		}
	}
	for _, way := range ways {
		sorted := slices.Sorted(slices.Values(way.rate.Rounds))
		way.rate.PerSecond = sorted[len(sorted)/2]
	}
	return nil
}

// hold holds so many requests at once and looks what the gate takes for each.
func (r *gateRace) hold(ctx context.Context, n int) (report.Held, error) {
	before, err := residentOf(r.gatePID)
	if err != nil {
		return report.Held{}, err
	}
	hold, err := r.control.Hold(ctx, quiesce.Request{Mode: quiesce.Mark, Holder: "bench"})
	if err != nil {
		return report.Held{}, err
	}
	crowd, err := load.Ask(ctx, r.gate, n)
	if err == nil {
		err = r.waiting(ctx, n)
	}
	if err != nil {
		hold.Abandon()
		return report.Held{}, err
	}
	defer crowd.Close()
	now, err := residentOf(r.gatePID)
	if err != nil {
		hold.Abandon()
		return report.Held{}, err
	}
	start := time.Now()
	var released sync.WaitGroup
	released.Go(func() { _, err = hold.Release() })
	answered := crowd.Answers()
	took := time.Since(start)
	released.Wait()
	return report.Held{Requests: n, Answered: answered, Bytes: (now - before) / int64(n), Longest: took}, err
}

// waiting returns once so many wait at the gate.
func (r *gateRace) waiting(ctx context.Context, n int) error {
	for range 600 {
		s, err := r.control.Status(ctx)
		if err != nil {
			return err
		}
		if s.Waiting == n {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%d requests never waited", n)
}

// residentOf returns a process's resident memory in bytes.
func residentOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("the memory of process %d is not known", pid)
}

// start starts nginx, as site and as proxy, the bare proxy and the gate.
func (r *gateRace) start(ctx context.Context) (stop func(), err error) {
	var running []*exec.Cmd
	stop = func() {
		for _, c := range running {
			_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by then
			_ = c.Wait()
		}
	}
	addresses, err := freeAddresses(4)
	if err != nil {
		return stop, err
	}
	r.site, r.nginx, r.bare, r.gate = addresses[0], addresses[1], addresses[2], addresses[3]
	self, err := os.Executable()
	if err != nil {
		return stop, err
	}
	config := filepath.Join(r.dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(nginxConfig(r.dir, r.site, r.nginx)), 0o644); err != nil {
		return stop, err
	}
	socket := filepath.Join(r.dir, "gate.sock")
	r.control = quiesce.Client(socket)
	for _, c := range []*exec.Cmd{
		exec.CommandContext(ctx, "nginx", "-c", config, "-p", r.dir),
		exec.CommandContext(ctx, self, "bareproxy", "--listen", r.bare, "--site", r.site),
		exec.CommandContext(ctx, r.holdfast, "gate", "--listen", r.gate, "--upstream", "http://"+r.site,
			"--control", "unix:"+socket, "--max-hold", "5m", "--queue", "20000"),
	} {
		c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		if filepath.Base(c.Path) == "nginx" && c.Err != nil {
			c.Path, c.Err = "/usr/sbin/nginx", nil
		}
		if err := c.Start(); err != nil {
			return stop, fmt.Errorf("start %s: %w", c.Path, err)
		}
		running = append(running, c)
		r.gatePID = c.Process.Pid
	}
	for _, address := range addresses {
		if err := load.Answers(ctx, address); err != nil {
			return stop, err
		}
	}
	return stop, nil
}
