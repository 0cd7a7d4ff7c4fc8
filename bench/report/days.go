package report

import (
	"fmt"
	"slices"
)

// Days is a snapshot per simulated day by several tools, and a restore of the last.
type Days struct {
	Common
	Days  int         `json:"days"` // after the first
	Tools []*DaysTool `json:"tools"`
}

// A DaysTool is what was measured of one program, one value per day, the first
// included.
type DaysTool struct {
	Name       string        `json:"name"`
	Release    string        `json:"release,omitempty"`
	Create     []Measurement `json:"create"`
	Repository []int64       `json:"repository_bytes"`
	Restore    Measurement   `json:"restore"`
	Restores   []Measurement `json:"restores,omitempty"` // where there were several, the last in Restore too
	Read       ReadBytes     `json:"restore_read"`
	Restored   int64         `json:"restored_bytes"`
}

// ReadBytes is what was read of a repository and of the tool's own cache of it,
// counted in a run of its own.
type ReadBytes struct {
	All  int64 `json:"all_bytes"`
	Once int64 `json:"distinct_bytes"` // a byte that was read twice counts once
}

// About implements Result.
func (d *Days) About() []string {
	lines := []string{fmt.Sprintf("%s: a first snapshot and one per day for %d days, all of them kept; page cache warm, everything encrypted.", d.Data, d.Days), d.Machine + "."}
	var tools []*Tool
	for _, t := range d.Tools {
		tools = append(tools, &Tool{Name: t.Name, Release: t.Release})
	}
	return append(append(lines, releases(tools)...), d.LeftOut...)
}

// Tables implements Result.
func (d *Days) Tables() []Table {
	table := Table{Title: fmt.Sprintf("%d days", d.Days), Head: []string{""}}
	for _, t := range d.Tools {
		table.Head = append(table.Head, t.Name)
	}
	row := func(label string, cell func(*DaysTool) string) {
		cells := []string{label}
		for _, t := range d.Tools {
			cells = append(cells, cell(t))
		}
		table.add(cells...)
	}
	row("repository on the first day, MiB", func(t *DaysTool) string { return inMebibytes(float64(t.Repository[0])) })
	row("repository on the last day, MiB", func(t *DaysTool) string { return inMebibytes(float64(t.last())) })
	row("growth on the second day, MiB", func(t *DaysTool) string { return inMebibytes(float64(t.Repository[1] - t.Repository[0])) })
	row("mean growth a day, MiB", func(t *DaysTool) string { return inMebibytes(t.growth()) })
	if holdfast := d.tool(Holdfast); holdfast != nil {
		row("growth, times holdfast", func(t *DaysTool) string { return times(t.growth() / holdfast.growth()) })
	}
	row("first snapshot, s", func(t *DaysTool) string { return inSeconds(t.Create[0].Seconds) })
	row("snapshot of a day, s, median", func(t *DaysTool) string { return or(seconds(t.Create[1:]), inSeconds) })
	d.processorRows(row, func(t *DaysTool) []Measurement { return t.Create[1:] })
	row("least–most", func(t *DaysTool) string { return spread(seconds(t.Create[1:]), inSeconds) })
	row("peak memory of a day, MB, least–most", func(t *DaysTool) string { return spread(peak(t.Create[1:]), inMegabytes) })
	row("restore of the last day, s, median", func(t *DaysTool) string { return or(seconds(t.restores()), inSeconds) })
	d.processorRows(row, (*DaysTool).restores)
	row("peak memory of it, MB", func(t *DaysTool) string { return or(peak(t.restores()), inMegabytes) })
	if !slices.ContainsFunc(d.Tools, func(t *DaysTool) bool { return t.Restored > 0 }) {
		return []Table{table} // what was read was not counted
	}
	row("restored, MB", func(t *DaysTool) string { return inMegabytes(float64(t.Restored)) })
	row("read from the repository for it, MB", func(t *DaysTool) string { return inMegabytes(float64(t.Read.All)) })
	row("of which different bytes, MB", func(t *DaysTool) string { return inMegabytes(float64(t.Read.Once)) })
	row("read amplification", func(t *DaysTool) string {
		if t.Read.Once == 0 {
			return "–"
		}
		return times(float64(t.Read.All) / float64(t.Read.Once))
	})
	return []Table{table}
}

// processorRows show whose processor time a snapshot or a restore took, where a server
// had a part in it: its own and that of the tool with the server's client.
func (d *Days) processorRows(row func(string, func(*DaysTool) string), of func(*DaysTool) []Measurement) {
	if !slices.ContainsFunc(d.Tools, func(t *DaysTool) bool { return slices.Max(serverCPU(t.Create)) > 0 }) {
		return
	}
	row("  of it the server's processor time, s", func(t *DaysTool) string { return or(serverCPU(of(t)), inSeconds) })
	row("  of it the tool's and the client's, s", func(t *DaysTool) string { return or(cpu(of(t)), inSeconds) })
}

// restores are all of them that were timed.
func (t *DaysTool) restores() []Measurement {
	switch {
	case len(t.Restores) > 0:
		return t.Restores
	case t.Restore.Seconds == 0:
		return nil // the days were interrupted before it
	}
	return []Measurement{t.Restore}
}

func (d *Days) tool(name string) *DaysTool {
	for _, t := range d.Tools {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (t *DaysTool) last() int64 { return t.Repository[len(t.Repository)-1] }

// growth is the mean of all days, in bytes.
func (t *DaysTool) growth() float64 {
	return float64(t.last()-t.Repository[0]) / float64(len(t.Repository)-1)
}

// Picture implements Result: how much each repository has grown since the first day.
func (d *Days) Picture() []byte {
	chart := chart{title: d.Data + ": growth of the repository since the first day, MiB, over days"}
	for _, t := range d.Tools {
		line := line{name: t.Name, class: t.Name}
		for day, n := range t.Repository {
			line.x = append(line.x, float64(day))
			line.y = append(line.y, float64(n-t.Repository[0])/mebibyte)
		}
		chart.lines = append(chart.lines, line)
	}
	return chart.draw()
}
