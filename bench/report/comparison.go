package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/bench/disk"
)

// A Comparison is of several tools on the same data in the same runs.
type Comparison struct {
	Common
	Size  disk.Size `json:"size"`
	Runs  int       `json:"runs"`
	Steps []string  `json:"steps"` // in the order of a run
	Tools []*Tool   `json:"tools"`
}

// A Tool is what was measured of one program, one value per run.
type Tool struct {
	Name    string                   `json:"name"`
	Release string                   `json:"release,omitempty"`
	Steps   map[string][]Measurement `json:"steps"`
	Alone   map[string][]Measurement `json:"alone,omitempty"` // short commands beside the steps, more than one per run
	Syncs   map[string]Syncs         `json:"syncs,omitempty"` // by step, counted in a run of its own
	DayOne  []int64                  `json:"repository_day_1_bytes,omitempty"`
	DayTwo  []int64                  `json:"repository_day_2_bytes,omitempty"`
}

// Add appends what one run has measured of the same tool.
func (t *Tool) Add(run *Tool) {
	for step, values := range run.Steps {
		t.Steps[step] = append(t.Steps[step], values...)
	}
	for name, values := range run.Alone {
		if t.Alone == nil {
			t.Alone = map[string][]Measurement{}
		}
		t.Alone[name] = append(t.Alone[name], values...)
	}
	t.DayOne = append(t.DayOne, run.DayOne...)
	t.DayTwo = append(t.DayTwo, run.DayTwo...)
}

// Names of columns, steps and short commands that this package knows by name.
const (
	Limit       = "limit"
	LimitByBlob = "limit by blob"
	Holdfast    = "holdfast"

	StepFirst     = "first"
	StepUnchanged = "unchanged"
	StepNext      = "next day"
	StepRestore   = "restore"

	AloneStart    = "start-up"
	AloneToken    = "unlock with a token"
	AlonePassword = "unlock with a password"
)

// Syncs counts the calls that wait for the disk, or tell it to begin, by name. An
// open file that syncs with each write is counted as "open O_SYNC".
type Syncs map[string]int

// String names the calls in the order of their numbers.
func (s Syncs) String() string {
	if len(s) == 0 {
		return "0"
	}
	names := slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		if s[a] != s[b] {
			return s[b] - s[a]
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", s[name], name)
	}
	return strings.Join(names, ", ")
}

// About implements Result.
func (c *Comparison) About() []string {
	lines := []string{fmt.Sprintf("%s: %s; %s, page cache warm, everything encrypted.", c.Data, inFiles(c.Size), ofRuns(c.Runs)), c.Machine + "."}
	return append(append(lines, releases(c.Tools)...), c.LeftOut...)
}

func releases(tools []*Tool) []string {
	var all []string
	for _, t := range tools {
		if t.Release != "" {
			all = append(all, t.Name+": "+t.Release)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return []string{strings.Join(all, "; ") + "."}
}

// Tables implements Result.
func (c *Comparison) Tables() []Table {
	tables := []Table{c.summary(), c.details()}
	if alone := c.alone(); len(alone.Rows) > 0 {
		tables = append(tables, alone)
	}
	return tables
}

func (c *Comparison) tool(name string) *Tool {
	i := slices.IndexFunc(c.Tools, func(t *Tool) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return c.Tools[i]
}

// isLimit tells what is measured beside the tools and is none.
func (t *Tool) isLimit() bool { return t.Name == Limit || t.Name == LimitByBlob }

func (c *Comparison) peers() []*Tool {
	return slices.DeleteFunc(slices.Clone(c.Tools), func(t *Tool) bool { return t.Name == Holdfast || t.isLimit() })
}

// summary is a row per figure and a column per tool; beside them how Holdfast
// stands to the best peer of each run, and how near to the limit it is.
func (c *Comparison) summary() Table {
	table := Table{Title: "Medians", Head: []string{""}}
	for _, t := range c.Tools {
		table.Head = append(table.Head, t.Name)
	}
	table.Head = append(table.Head, "holdfast against the best peer", "of the limit")
	for _, step := range c.Steps {
		of := func(t *Tool) []float64 { return seconds(t.Steps[step]) }
		table.add(c.row(step+", s", of, inSeconds, faster, true)...)
		if step == StepRestore && c.knowsDurable() {
			of := func(t *Tool) []float64 { return durable(t.Steps[step]) }
			table.add(c.row("  until it is on the disk, s", of, inSeconds, faster, true)...)
		}
	}
	table.add(c.row("repository after day 1, MiB", func(t *Tool) []float64 { return floats(t.DayOne) }, inMebibytes, smaller, false)...)
	if slices.Contains(c.Steps, StepNext) {
		table.add(c.row("repository after two days, MiB", func(t *Tool) []float64 { return floats(t.DayTwo) }, inMebibytes, smaller, false)...)
		table.add(c.row("growth on the next day, MiB", growth, inMebibytes, smaller, false)...)
	}
	table.add(c.row("peak memory of all steps, MB", c.highest, inMegabytes, smaller, false)...)
	return table
}

// knowsDurable is false of results from before that was measured.
func (c *Comparison) knowsDurable() bool {
	for _, t := range c.Tools {
		if slices.Contains(durable(t.Steps[StepRestore]), 0) {
			return false
		}
	}
	return true
}

func growth(t *Tool) []float64 { return differences(floats(t.DayTwo), floats(t.DayOne)) }

// highest is each run's highest peak memory.
func (c *Comparison) highest(t *Tool) []float64 {
	var all []float64
	for _, step := range c.Steps {
		for run, value := range peak(t.Steps[step]) {
			if run == len(all) {
				all = append(all, value)
			}
			all[run] = max(all[run], value)
		}
	}
	return all
}

// row is one of the summary. The limit has no size and no memory worth showing.
func (c *Comparison) row(label string, of func(*Tool) []float64, print func(float64) string, verdict func(float64) string, limited bool) []string {
	cells := []string{label}
	for _, t := range c.Tools {
		if t.isLimit() && !limited {
			cells = append(cells, "")
			continue
		}
		cells = append(cells, or(of(t), print))
	}
	against, share := "–", ""
	holdfast, limit := c.tool(Holdfast), c.tool(Limit)
	if holdfast != nil {
		var peers [][]float64
		for _, t := range c.peers() {
			peers = append(peers, of(t))
		}
		against = or(ratios(least(peers), of(holdfast)), verdict)
		if limit != nil && limited {
			share = or(ratios(of(limit), of(holdfast)), percent)
		}
	}
	return append(cells, against, share)
}

func faster(ratio float64) string { return times(ratio) + " as fast" }

func smaller(ratio float64) string { return times(1/ratio) + " as much" }

// details is a row per step and tool.
func (c *Comparison) details() Table {
	table := Table{
		Title: "Every step and tool",
		Head:  []string{"", "s", "least–most", "CPU, s", "peak, MB", "times holdfast", "of the limit", "fsync and the like"},
	}
	for _, step := range c.Steps {
		for _, t := range c.Tools {
			all := t.Steps[step]
			table.add(step+", "+t.Name, or(seconds(all), inSeconds), spread(seconds(all), inSeconds), or(cpu(all), inSeconds),
				or(peak(all), inMegabytes), or(c.timesHoldfast(step, all), times), or(c.ofLimit(step, all), percent), t.synced(step))
		}
	}
	return table
}

// timesHoldfast is how long a step took against Holdfast in the same run.
func (c *Comparison) timesHoldfast(step string, all []Measurement) []float64 {
	if holdfast := c.tool(Holdfast); holdfast != nil {
		return ratios(seconds(all), seconds(holdfast.Steps[step]))
	}
	return nil
}

// ofLimit is how near a step came to the limit of the same run.
func (c *Comparison) ofLimit(step string, all []Measurement) []float64 {
	if limit := c.tool(Limit); limit != nil {
		return ratios(seconds(limit.Steps[step]), seconds(all))
	}
	return nil
}

func (t *Tool) synced(step string) string {
	if t.Syncs == nil {
		return "not counted"
	}
	return t.Syncs[step].String()
}

// alone is a row per short command: what is inside every figure above.
func (c *Comparison) alone() Table {
	table := Table{Title: "Alone, inside every figure above", Head: []string{"", "s", "least–most", "CPU, s", "peak, MB"}}
	add := func(label string, all []Measurement) {
		if len(all) > 0 {
			table.add(label, or(seconds(all), inSeconds), spread(seconds(all), inSeconds), or(cpu(all), inSeconds), or(peak(all), inMegabytes))
		}
	}
	for _, t := range c.Tools {
		for _, name := range []string{AloneStart, AloneToken, AlonePassword} {
			add(t.Name+": "+name, t.Alone[name])
		}
		if byPassword, byToken := t.Alone[AlonePassword], t.Alone[AloneToken]; len(byPassword) > 0 && len(byToken) > 0 {
			apart := differences(seconds(byPassword), seconds(byToken))
			table.add(t.Name+": of which the password's derivation", or(apart, inSeconds), spread(apart, inSeconds),
				or(differences(cpu(byPassword), cpu(byToken)), inSeconds), or(differences(peak(byPassword), peak(byToken)), inMegabytes))
		}
	}
	return table
}
