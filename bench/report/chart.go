package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A chart is some lines over one horizontal axis.
type chart struct {
	title string
	log   bool // both axes; else both begin at zero
	lines []line
}

// A line has a point per value; class is its colour.
type line struct {
	name, class string
	x, y        []float64
}

const (
	chartWidth, chartHeight = 760.0, 400.0
	plotLeft, plotRight     = 70.0, 640.0 // names of the lines stand to the right
	plotTop, plotBottom     = 48.0, 360.0
)

// A scale places values between two pixels.
type scale struct {
	low, high   float64
	from, until float64 // pixels
	log         bool
}

func (s scale) at(value float64) float64 {
	low, high := s.low, s.high
	if s.log {
		low, high, value = math.Log(low), math.Log(high), math.Log(value)
	}
	return s.from + (value-low)/(high-low)*(s.until-s.from)
}

// newScale spans the values, and ticks are where it is labelled.
func newScale(values []float64, from, until float64, log bool) (s scale, ticks []float64) {
	s = scale{from: from, until: until, log: log, high: 1}
	if len(values) > 0 {
		s.low, s.high = slices.Min(values), slices.Max(values)
	}
	if log {
		s.low = math.Pow(10, math.Floor(math.Log10(s.low)))
		s.high = math.Pow(10, math.Max(math.Ceil(math.Log10(s.high)), math.Log10(s.low)+1))
		for tick := s.low; tick <= s.high*1.001; tick *= 10 {
			ticks = append(ticks, tick)
		}
		return s, ticks
	}
	s.low = min(0, s.low)
	step := niceStep((s.high - s.low) / 5)
	s.high = math.Max(math.Ceil(s.high/step), 1) * step
	for tick := s.low; tick <= s.high*1.001; tick += step {
		ticks = append(ticks, tick)
	}
	return s, ticks
}

// niceStep is the next of 1, 2, 5, 10, … that is at least n, at any power of ten.
func niceStep(n float64) float64 {
	if n <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(n)))
	for _, factor := range []float64{1, 2, 5} {
		if n <= factor*power {
			return factor * power
		}
	}
	return 10 * power
}

func (c chart) draw() []byte {
	var xs, ys []float64
	for _, l := range c.lines {
		xs, ys = append(xs, l.x...), append(ys, l.y...)
	}
	d := begin(chartWidth, chartHeight, c.title)
	horizontal, xTicks := newScale(xs, plotLeft, plotRight, c.log)
	vertical, yTicks := newScale(ys, plotBottom, plotTop, c.log)
	for _, tick := range yTicks {
		d.rule(plotLeft, vertical.at(tick), plotRight, vertical.at(tick))
		d.text(plotLeft-8, vertical.at(tick)+4, "soft", "end", fmt.Sprintf("%.4g", tick))
	}
	for _, tick := range xTicks {
		d.text(horizontal.at(tick), plotBottom+20, "soft", "middle", fmt.Sprintf("%.4g", tick))
	}
	taken := plotTop - 100
	slices.SortFunc(c.lines, func(a, b line) int { // the highest first, so that names go downwards
		return cmp.Compare(vertical.at(a.end()), vertical.at(b.end()))
	})
	for _, l := range c.lines {
		x, y := make([]float64, len(l.x)), make([]float64, len(l.y))
		for i := range l.x {
			x[i], y[i] = horizontal.at(l.x[i]), vertical.at(l.y[i])
		}
		d.line(x, y, l.class)
		taken = max(taken+16, vertical.at(l.end())+4)
		d.text(plotRight+10, taken, "", "start", l.name)
		d.bar(plotRight+2, taken-8, 5, 8, l.class)
	}
	return d.end()
}

// end is the line's last value.
func (l line) end() float64 {
	if len(l.y) == 0 {
		return 1
	}
	return l.y[len(l.y)-1]
}
