package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/bench/corpus"
	"holdfast/bench/report"
)

// options are the flags that all measurements share.
type options struct {
	flags    *flag.FlagSet
	kind     string
	seed     uint64
	holdfast string
	only     string
	scratch  string
	out      string
	json     bool

	keepsCaches bool
}

const usage = `Usage:
  bench [compare] [flags]  Holdfast beside restic, kopia and borg, step by step
  bench curve [flags]      how Holdfast's time and memory grow with the data
  bench days [flags]       how repositories grow with time
  bench databases [flags]  a database on a real server, saved every day and restored
  bench gate [flags]       the gate beside no gate and beside nginx
  bench render PAGE        put what --out has written into a page
"bench COMMAND --help" lists the flags of a command.

`

// newOptions declares the flags; only is the default of --only.
func newOptions(command, only string) *options {
	o := &options{flags: flag.NewFlagSet("bench "+command, flag.ContinueOnError)}
	o.flags.Usage = func() {
		fmt.Fprint(o.flags.Output(), usage)
		fmt.Fprintf(o.flags.Output(), "Flags of %s:\n", command)
		o.flags.PrintDefaults()
	}
	o.flags.StringVar(&o.kind, "data", "mixed", corpus.Usage())
	o.flags.Uint64Var(&o.seed, "seed", 1, "seed of the data")
	o.flags.StringVar(&o.holdfast, "holdfast", "bin/holdfast", "the holdfast to measure")
	o.flags.StringVar(&o.only, "only", only, "these tools only, with commas between: limit,limit by blob,holdfast,restic,kopia,borg")
	o.flags.StringVar(&o.scratch, "dir", "", "work beneath this directory, on the disk to measure (default: the directory for temporary files)")
	o.flags.StringVar(&o.out, "out", "", "keep the result in this JSON file, and go on from what is in it")
	o.flags.BoolVar(&o.json, "json", false, "print JSON with every single measurement")
	o.flags.BoolVar(&o.keepsCaches, "keep-caches", false, "do not empty the page cache between steps, as is done where permitted; restores are then slower on some file systems")
	return o
}

func (o *options) parse(args []string) error {
	if err := o.flags.Parse(args); err != nil {
		return err
	}
	if o.flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", o.flags.Name(), o.flags.Arg(0))
	}
	return nil
}

// start finds the tools and makes a directory to work in, which the caller removes.
// A place for the result that cannot be had is found out before anything is measured.
func (o *options) start() (*race, []string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	found, leftOut := installed(tools(self, o.holdfast), o.only)
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("nothing to measure:\n%s", strings.Join(leftOut, "\n"))
	}
	if o.out != "" {
		if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
			return nil, nil, fmt.Errorf("--out: %w", err)
		}
	}
	dir, err := os.MkdirTemp(o.scratch, "holdfast-bench-")
	if err != nil {
		return nil, nil, err
	}
	r := &race{self: self, dir: dir, tools: found, sparse: o.kind == "sparse", log: os.Stderr, keepsCaches: o.keepsCaches}
	for _, line := range leftOut {
		r.say("%s", line)
	}
	return r, leftOut, nil
}

// common describes the measurement.
func (o *options) common(kind string, scale float64, leftOut []string) report.Common {
	data := fmt.Sprintf("%s, seed %d, scale %v", o.kind, o.seed, scale)
	if scale == 0 {
		data = fmt.Sprintf("%s, seed %d", o.kind, o.seed)
	}
	return report.Common{Kind: kind, Machine: machine(), Data: data, LeftOut: leftOut}
}

// resume reads what an earlier call has left in the file, if there is one.
func (o *options) resume(into report.Result) error {
	if o.out == "" {
		return nil
	}
	content, err := os.ReadFile(o.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("go on from %s: %w", o.out, err)
	}
	return nil
}

// mismatch says that the file holds something that this call cannot go on from.
func (o *options) mismatch(what string, held, now any) error {
	return fmt.Errorf("%s holds what was measured with another %s: %v, now %v; remove it or choose another --out", o.out, what, held, now)
}

// same compares what must not have changed since the file was begun.
func (o *options) same(held, now report.Common) error {
	switch {
	case held.Kind != now.Kind:
		return o.mismatch("command", held.Kind, now.Kind)
	case held.Machine != now.Machine:
		return o.mismatch("machine", held.Machine, now.Machine)
	case held.Data != now.Data:
		return o.mismatch("corpus", held.Data, now.Data)
	}
	return nil
}

func (o *options) save(r report.Result) error {
	if o.out == "" {
		return nil
	}
	return report.Save(o.out, r)
}

// show prints the result as asked.
func (o *options) show(w io.Writer, r report.Result) error {
	if !o.json {
		return report.Text(w, r)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
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

// say writes a line of progress with the time of day.
func (r *race) say(format string, arguments ...any) {
	fmt.Fprintf(r.log, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, arguments...)...)
}
