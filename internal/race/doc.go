// Package race tells tests that measure memory or time whether the race detector, which
// takes some of either, is at work.
package race
