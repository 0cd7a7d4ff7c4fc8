//go:build race

package quiesce

// underRace: the race detector takes memory of its own.
const underRace = true
