package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// A report is what the command prints, as text or as JSON.
type report struct {
	Machine string   `json:"machine"`
	Data    string   `json:"data"`
	Size    size     `json:"size"`
	Runs    int      `json:"runs"`
	Tools   []column `json:"tools"`
	LeftOut []string `json:"left_out,omitempty"`
}

// machine describes what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var name syscall.Utsname
	kernel := "unknown"
	if syscall.Uname(&name) == nil {
		var release []byte
		for _, c := range name.Release {
			if c == 0 {
				break
			}
			release = append(release, byte(c))
		}
		kernel = string(release)
	}
	return fmt.Sprintf("%d cores, %s, Linux %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

// text writes the tables for people.
func (r report) text(w io.Writer) error {
	fmt.Fprintf(w, "%s: %.0f MB in %d files; medians of %d runs, page cache warm, everything encrypted\n%s\n", r.Data, float64(r.Size.Bytes)/1e6, r.Size.Files, r.Runs, r.Machine)
	for _, c := range r.Tools {
		if c.Release != "" {
			fmt.Fprintf(w, "%s: %s\n", c.Name, c.Release)
		}
	}
	for _, line := range r.LeftOut {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	r.row(table, "", func(c column) string { return c.Name })
	for at := range steps {
		r.stepRows(table, at.String())
	}
	r.row(table, "repository, day 1, MiB", func(c column) string { return mebibytes(c.DayOne) })
	r.row(table, "            day 2, MiB", func(c column) string { return mebibytes(c.DayTwo) })
	r.row(table, "            growth, MiB", func(c column) string {
		growth := make([]int64, len(c.DayTwo))
		for i := range growth {
			growth[i] = c.DayTwo[i] - c.DayOne[i]
		}
		return mebibytes(growth)
	})
	return table.Flush()
}

// stepRows writes what one step took. Tools are compared run by run, before the
// median is taken: both were disturbed by the same neighbours.
func (r report) stepRows(table io.Writer, name string) {
	seconds := func(c column) []float64 { return pick(c.Steps[name], func(m measurement) float64 { return m.Seconds }) }
	r.row(table, name+", s", func(c column) string { return fmt.Sprintf("%.2f", median(seconds(c))) })
	r.row(table, "  least–most, s", func(c column) string {
		return fmt.Sprintf("%.2f–%.2f", slices.Min(seconds(c)), slices.Max(seconds(c)))
	})
	r.row(table, "  CPU, s", func(c column) string {
		return fmt.Sprintf("%.2f", median(pick(c.Steps[name], func(m measurement) float64 { return m.CPU })))
	})
	r.row(table, "  peak, MB", func(c column) string {
		return fmt.Sprintf("%.0f", median(pick(c.Steps[name], func(m measurement) float64 { return float64(m.Peak) }))/1e6)
	})
	if base, ok := r.column("holdfast"); ok {
		r.row(table, "  times holdfast", func(c column) string {
			return fmt.Sprintf("×%.2f", median(ratios(seconds(c), seconds(base))))
		})
	}
	if limit, ok := r.column("limit"); ok {
		r.row(table, "  of the limit", func(c column) string {
			return fmt.Sprintf("%.1f %%", 100*median(ratios(seconds(limit), seconds(c))))
		})
	}
}

func (r report) row(w io.Writer, label string, cell func(column) string) {
	fmt.Fprintf(w, "%-24s\t", label)
	for _, c := range r.Tools {
		fmt.Fprint(w, cell(c), "\t")
	}
	fmt.Fprintln(w)
}

func (r report) column(name string) (column, bool) {
	i := slices.IndexFunc(r.Tools, func(c column) bool { return c.Name == name })
	if i < 0 {
		return column{}, false
	}
	return r.Tools[i], true
}

func pick(all []measurement, value func(measurement) float64) []float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = value(m)
	}
	return values
}

func ratios(values, by []float64) []float64 {
	all := make([]float64, len(values))
	for i := range values {
		all[i] = values[i] / by[i]
	}
	return all
}

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func mebibytes(values []int64) string {
	numbers := make([]float64, len(values))
	for i, value := range values {
		numbers[i] = float64(value) / (1 << 20)
	}
	return fmt.Sprintf("%.1f", median(numbers))
}
