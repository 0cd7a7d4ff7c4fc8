package report

import (
	"fmt"

	"holdfast/bench/disk"
)

// A Curve is how Holdfast's time and memory grow with the data.
type Curve struct {
	Common
	Release string   `json:"release"`
	Steps   []string `json:"steps"`
	Points  []Point  `json:"points"` // from the smallest on
}

// A Point is one size of the data.
type Point struct {
	Scale float64   `json:"scale"`
	Size  disk.Size `json:"size"`
	Tool  *Tool     `json:"measured"`
}

// About implements Result.
func (c *Curve) About() []string {
	runs := 0
	if len(c.Points) > 0 {
		runs = len(c.Points[0].Tool.DayOne)
	}
	return append([]string{fmt.Sprintf("%s, of several sizes: %s.", c.Data, ofRuns(runs)), c.Machine + ".", "holdfast: " + c.Release + "."}, c.LeftOut...)
}

// Tables implements Result. The exponent e is that of time ~ size^e.
func (c *Curve) Tables() []Table {
	table := Table{Title: "Growth", Head: []string{"data"}}
	rows := make([][]string, len(c.Points))
	exponents := []string{"exponent"}
	for i, p := range c.Points {
		rows[i] = []string{inFiles(p.Size)}
	}
	for _, step := range c.Steps {
		for _, figure := range []struct {
			name  string
			of    func([]Measurement) []float64
			print func(float64) string
		}{{"s", seconds, inSeconds}, {"peak, MB", peak, inMegabytes}} {
			table.Head = append(table.Head, step+", "+figure.name)
			x, y := c.line(step, figure.of)
			for i := range rows {
				rows[i] = append(rows[i], figure.print(y[i]))
			}
			if len(x) > 1 {
				exponents = append(exponents, fmt.Sprintf("%.2f", exponent(x, y)))
			}
		}
	}
	table.Rows = rows
	if len(rows) > 1 {
		table.add(exponents...)
	}
	return []Table{table}
}

// line is the median of a figure over the bytes of the data.
func (c *Curve) line(step string, of func([]Measurement) []float64) (x, y []float64) {
	for _, p := range c.Points {
		x = append(x, float64(p.Size.Bytes))
		y = append(y, median(of(p.Tool.Steps[step])))
	}
	return x, y
}

// Picture implements Result: time over size, both logarithmic.
func (c *Curve) Picture() []byte {
	chart := chart{title: "holdfast, " + c.Data + ": seconds over GB, logarithmic", log: true}
	for i, step := range c.Steps {
		x, y := c.line(step, seconds)
		for j := range x {
			x[j] /= 1e9
		}
		chart.lines = append(chart.lines, line{name: step, class: fmt.Sprintf("c%d", i%4), x: x, y: y})
	}
	return chart.draw()
}
