package report

import (
	"fmt"
	"time"
)

// Gate is what was measured of the gate beside no gate, and beside nginx.
type Gate struct {
	Common
	Site    string  `json:"site"`    // what stood behind it
	Rate    int     `json:"rate"`    // requests a second for Direct and Idle
	Clients int     `json:"clients"` // connections for Throughput
	Direct  Latency `json:"direct"`  // without a gate
	Idle    Latency `json:"idle"`    // through a gate that holds nothing
	Rounds  int     `json:"rounds"`  // of which each value below is the median
	Gate    Rate    `json:"gate"`    // at full load
	Nginx   Rate    `json:"nginx"`   // the same through nginx
	Bare    Rate    `json:"bare"`    // the same without a proxy
	Held    Held    `json:"held"`
}

// Latency is how long requests took that came at a constant rate, counted from when
// each was due.
type Latency struct {
	Requests int           `json:"requests"`
	Median   time.Duration `json:"median_ns"`
	P99      time.Duration `json:"p99_ns"`
	Worst    time.Duration `json:"worst_ns"`
}

// Rate is how many requests a second were answered to clients who ask again at once.
type Rate struct {
	PerSecond float64   `json:"per_second"`
	Rounds    []float64 `json:"rounds"`
}

// Held is what many held requests took.
type Held struct {
	Requests int           `json:"requests"`
	Answered int           `json:"answered"`
	Bytes    int64         `json:"bytes_each"` // of the gate's resident memory
	Longest  time.Duration `json:"longest_release_ns"`
}

// Added is the latency that the idle gate adds.
func (g *Gate) Added() time.Duration { return g.Idle.P99 - g.Direct.P99 }

// Share is the gate's throughput, as a share of nginx's.
func (g *Gate) Share() float64 { return g.Gate.PerSecond / g.Nginx.PerSecond }

// About implements Result.
func (g *Gate) About() []string {
	return append([]string{
		fmt.Sprintf("Behind the gate: %s; clients, proxy and site share the machine. Latency at %d requests a second, alternating with and without a gate; throughput with %d connections, median of %d rounds.",
			g.Site, g.Rate, g.Clients, g.Rounds), g.Machine + "."}, g.LeftOut...)
}

// Tables implements Result.
func (g *Gate) Tables() []Table {
	latency := Table{Title: "Latency, ms", Head: []string{"", "no gate", "idle gate", "added"}}
	for _, row := range []struct {
		name string
		of   func(Latency) time.Duration
	}{{"median", func(l Latency) time.Duration { return l.Median }}, {"p99", func(l Latency) time.Duration { return l.P99 }}, {"worst", func(l Latency) time.Duration { return l.Worst }}} {
		a, b := row.of(g.Direct), row.of(g.Idle)
		latency.add(row.name, inMillis(a), inMillis(b), inMillis(b-a))
	}
	rate := Table{Title: "Throughput, requests/s", Head: []string{"", "no proxy", "nginx", "gate", "gate of nginx"}}
	rate.add("median", fmt.Sprintf("%.0f", g.Bare.PerSecond), fmt.Sprintf("%.0f", g.Nginx.PerSecond), fmt.Sprintf("%.0f", g.Gate.PerSecond), fmt.Sprintf("%.0f %%", 100*g.Share()))
	held := Table{Title: "Held at once", Head: []string{"requests", "answered", "memory each, KiB", "all answered after the release, ms"}}
	held.add(fmt.Sprint(g.Held.Requests), fmt.Sprint(g.Held.Answered), fmt.Sprintf("%.1f", float64(g.Held.Bytes)/1024), inMillis(g.Held.Longest))
	return []Table{latency, rate, held}
}

func inMillis(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

// Picture implements Result: throughput of the three ways.
func (g *Gate) Picture() []byte {
	const name, longest, pitch, top = 100.0, 520.0, 26.0, 44.0
	ways := []struct {
		name  string
		class string
		rate  float64
	}{{"no proxy", "limit", g.Bare.PerSecond}, {"nginx", "restic", g.Nginx.PerSecond}, {"gate", Holdfast, g.Gate.PerSecond}}
	d := begin(760, top+pitch*float64(len(ways))+12, "requests a second, more is better")
	most := 0.0
	for _, w := range ways {
		most = max(most, w.rate)
	}
	for i, w := range ways {
		y, long := top+pitch*float64(i), max(1, longest*w.rate/most)
		d.text(name-8, y+13, "", "end", w.name)
		d.bar(name, y, long, pitch-6, w.class)
		d.text(name+long+8, y+13, "", "start", fmt.Sprintf("%.0f", w.rate))
	}
	return d.end()
}
