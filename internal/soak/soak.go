// Package soak lets tests that draw their cases at random go on for as long as they
// are given. Where HOLDFAST_SOAK holds a duration, such as 15m, each goes on for that
// long; else it tries a few. Tests that have more cases than every change needs to
// try ask whether this is a soak at all.
package soak

import (
	"iter"
	"os"
	"testing"
	"time"
)

// long is how long each goes on; 0 where this is no soak.
func long(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("HOLDFAST_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("HOLDFAST_SOAK is %q: want a duration, such as 15m", text)
	}
	return d
}

// On reports whether this is a soak.
func On(t testing.TB) bool {
	t.Helper()
	return long(t) > 0
}

// Cases yields the numbers of the cases to try: 0 to few-1, and in a soak as many
// more as there is time for, until the test has failed.
func Cases(t testing.TB, few int) iter.Seq[int] {
	t.Helper()
	end := time.Now().Add(long(t))
	return func(yield func(int) bool) {
		for n := 0; n < few || time.Now().Before(end); n++ {
			if t.Failed() || !yield(n) {
				return
			}
		}
	}
}
