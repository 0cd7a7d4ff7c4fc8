package report

import (
	"fmt"
	"slices"
	"time"
)

// Gate is what was measured of the gate beside no proxy at all, nginx, and what Go's
// library brings.
type Gate struct {
	Common
	Site      string  `json:"site"`    // what stood behind it
	Rate      int     `json:"rate"`    // requests a second for latency
	Clients   int     `json:"clients"` // connections for throughput
	Rounds    int     `json:"rounds"`  // in which all ways are measured, one after the other
	Direct    Latency `json:"direct"`  // without a proxy
	NginxIdle Latency `json:"nginx_idle"`
	BareIdle  Latency `json:"bare_idle"` // through httputil.ReverseProxy
	Idle      Latency `json:"idle"`      // through a gate that holds nothing
	NoProxy   Rate    `json:"no_proxy"`  // at full load
	Nginx     Rate    `json:"nginx"`
	Bare      Rate    `json:"bare"`
	Gate      Rate    `json:"gate"`
	Held      Held    `json:"held"`
}

// Latency is how long requests took that came at a constant rate, counted from when
// each was due.
type Latency struct {
	Requests int             `json:"requests"`
	Median   time.Duration   `json:"median_ns"`
	P99      time.Duration   `json:"p99_ns"`
	Worst    time.Duration   `json:"worst_ns"`
	Rounds   []time.Duration `json:"round_p99_ns"` // the p99 of each
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

// added returns how much more than without a proxy the p99 was: the median of the
// rounds, each compared with its own.
func (g *Gate) added(l Latency) time.Duration {
	var more []time.Duration
	for i := range min(len(l.Rounds), len(g.Direct.Rounds)) {
		more = append(more, l.Rounds[i]-g.Direct.Rounds[i])
	}
	if len(more) == 0 {
		return 0
	}
	slices.Sort(more)
	return more[len(more)/2]
}

// Share is the gate's throughput, as a share of nginx's.
func (g *Gate) Share() float64 { return g.Gate.PerSecond / g.Nginx.PerSecond }

// About implements Result.
func (g *Gate) About() []string {
	return append([]string{
		fmt.Sprintf("Behind the gate: %s; clients, proxy and site share the machine. In each of %d rounds all ways are measured in turn: latency at %d requests a second, throughput with %d connections. *httputil* is Go's own reverse proxy with nothing around it.",
			g.Site, g.Rounds, g.Rate, g.Clients), g.Machine + "."}, g.LeftOut...)
}

// Tables implements Result.
func (g *Gate) Tables() []Table {
	latency := Table{Title: "Latency, ms", Head: []string{"", "median", "p99", "p99 of a round, least to most", "p99 added, median of the rounds", "worst"}}
	for _, way := range []struct {
		name string
		Latency
	}{{"no proxy", g.Direct}, {"nginx", g.NginxIdle}, {"httputil", g.BareIdle}, {"idle gate", g.Idle}} {
		spread := "–"
		if len(way.Rounds) > 0 {
			spread = inMillis(slices.Min(way.Rounds)) + " to " + inMillis(slices.Max(way.Rounds))
		}
		latency.add(way.name, inMillis(way.Median), inMillis(way.P99), spread, inMillis(g.added(way.Latency)), inMillis(way.Worst))
	}
	rate := Table{Title: "Throughput, requests/s", Head: []string{"", "no proxy", "nginx", "httputil", "gate", "gate of nginx"}}
	rate.add("median", perSecond(g.NoProxy), perSecond(g.Nginx), perSecond(g.Bare), perSecond(g.Gate), fmt.Sprintf("%.0f %%", 100*g.Share()))
	held := Table{Title: "Held at once", Head: []string{"requests", "answered", "memory each, KiB", "all answered after the release, ms"}}
	held.add(fmt.Sprint(g.Held.Requests), fmt.Sprint(g.Held.Answered), fmt.Sprintf("%.1f", float64(g.Held.Bytes)/1024), inMillis(g.Held.Longest))
	return []Table{latency, rate, held}
}

func perSecond(r Rate) string { return fmt.Sprintf("%.0f", r.PerSecond) }

func inMillis(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

// Picture implements Result: throughput of each way.
func (g *Gate) Picture() []byte {
	const name, longest, pitch, top = 100.0, 520.0, 26.0, 44.0
	ways := []struct {
		name  string
		class string
		rate  float64
	}{{"no proxy", "limit", g.NoProxy.PerSecond}, {"nginx", "restic", g.Nginx.PerSecond}, {"httputil", "kopia", g.Bare.PerSecond}, {"gate", Holdfast, g.Gate.PerSecond}}
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
