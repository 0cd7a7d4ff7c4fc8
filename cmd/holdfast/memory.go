package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much may become garbage before it is collected: a guest on a busy machine
// takes little memory, but a small heap is not worth collecting often.
const (
	garbageFloor   = 8 << 20  // bytes
	gateFloor      = 64 << 20 // of a gate, which makes garbage with every request
	garbagePercent = 25       // of what lives, where that is more
)

// pace sets up the runtime for a gate, or for a command that copies.
func pace(gate bool) {
	if gate {
		paceCollector(gateFloor)
		return
	}
	oneMoreProcessor()
	paceCollector(garbageFloor)
}

// oneMoreProcessor lets one goroutine more run than there are processors, unless the
// user has said how many. A goroutine in a system call keeps its place among those
// until the runtime notices, and whoever copies files is often in one: so a processor
// stands still (docs/benchmarks.md).
func oneMoreProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// paceCollector keeps the collector to that, for as long as the process lives.
func paceCollector(floor uint64) {
	debug.SetGCPercent(collectAt(0, floor))
	afterCollection(func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetGCPercent(collectAt(live[0].Value.Uint64(), floor))
	})
}

// collectAt returns the growth of the heap in per cent at which to collect, where
// that many bytes live. The runtime counts at least 4 MB as living.
func collectAt(live, floor uint64) int {
	return int(max(garbagePercent, 100*floor/max(live, 4<<20)))
}

// afterCollection calls f after each collection from now on.
func afterCollection(f func()) {
	type sentinel struct{ _ [64]byte } // garbage at once
	runtime.AddCleanup(&sentinel{}, func(f func()) {
		f()
		afterCollection(f)
	}, f)
}
