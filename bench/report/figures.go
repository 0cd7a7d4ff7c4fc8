package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"

	"holdfast/bench/disk"
)

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratios divides each run's value by the same run's other value.
func ratios(values, by []float64) []float64 {
	all := make([]float64, min(len(values), len(by)))
	for i := range all {
		all[i] = values[i] / by[i]
	}
	return all
}

// differences subtracts from each run's value the same run's other value.
func differences(values, from []float64) []float64 {
	all := make([]float64, min(len(values), len(from)))
	for i := range all {
		all[i] = values[i] - from[i]
	}
	return all
}

// least returns, run by run, the smallest value of all rows.
func least(rows [][]float64) []float64 {
	var all []float64
	for _, row := range rows {
		for i, value := range row {
			if i == len(all) {
				all = append(all, value)
			}
			all[i] = min(all[i], value)
		}
	}
	return all
}

// exponent is the slope of the straight line that fits y over x best when both
// are on logarithmic scales: 1 where y grows as x does, 0 where it does not grow.
func exponent(x, y []float64) float64 {
	var meanX, meanY, up, across float64
	n := float64(len(x))
	for i := range x {
		meanX += math.Log(x[i]) / n
		meanY += math.Log(y[i]) / n
	}
	for i := range x {
		dx := math.Log(x[i]) - meanX
		up += dx * (math.Log(y[i]) - meanY)
		across += dx * dx
	}
	return up / across
}

func seconds(all []Measurement) []float64 {
	return pick(all, func(m Measurement) float64 { return m.Seconds })
}

func durable(all []Measurement) []float64 {
	return pick(all, func(m Measurement) float64 { return m.Durable })
}

func cpu(all []Measurement) []float64 {
	return pick(all, func(m Measurement) float64 { return m.CPU })
}

func serverCPU(all []Measurement) []float64 {
	return pick(all, func(m Measurement) float64 { return m.ServerCPU })
}

func peak(all []Measurement) []float64 {
	return pick(all, func(m Measurement) float64 { return float64(m.Peak) })
}

func pick(all []Measurement, value func(Measurement) float64) []float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = value(m)
	}
	return values
}

func floats(values []int64) []float64 {
	all := make([]float64, len(values))
	for i, value := range values {
		all[i] = float64(value)
	}
	return all
}

const (
	megabyte = 1e6
	mebibyte = 1 << 20
)

// inSeconds prints three digits of what is short and no more of what is long.
func inSeconds(s float64) string {
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.3f", s)
	case s < 99.5:
		return fmt.Sprintf("%.2f", s)
	}
	return fmt.Sprintf("%.0f", s)
}

// or returns a dash where there are no values.
func or(values []float64, print func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	return print(median(values))
}

func inMegabytes(n float64) string { return fmt.Sprintf("%.0f", n/megabyte) }

func inMebibytes(n float64) string { return fmt.Sprintf("%.1f", n/mebibyte) }

func times(n float64) string {
	if n < 9.95 {
		return fmt.Sprintf("×%.2f", n)
	}
	return fmt.Sprintf("×%.0f", n)
}

func percent(n float64) string { return fmt.Sprintf("%.0f %%", 100*n) }

// inFiles prints the size of the data.
func inFiles(s disk.Size) string {
	if s.Files == 1 {
		return humanize.Bytes(uint64(s.Bytes)) + " in one file"
	}
	return fmt.Sprintf("%s in %s files", humanize.Bytes(uint64(s.Bytes)), humanize.Comma(int64(s.Files)))
}

func ofRuns(n int) string {
	if n == 1 {
		return "one run"
	}
	return fmt.Sprintf("medians of %d runs", n)
}

// spread is the least and the most of values.
func spread(values []float64, print func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	return print(slices.Min(values)) + "–" + print(slices.Max(values))
}
