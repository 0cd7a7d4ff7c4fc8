//go:build !race

package repo_test

const underRaceDetector = false
