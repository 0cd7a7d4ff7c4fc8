//go:build race

package mysql

// underRace: the race detector has what grows allocated twice.
const underRace = true
