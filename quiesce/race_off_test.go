//go:build !race

package quiesce

const underRace = false
