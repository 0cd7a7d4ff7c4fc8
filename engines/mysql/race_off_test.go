//go:build !race

package mysql

const underRace = false
