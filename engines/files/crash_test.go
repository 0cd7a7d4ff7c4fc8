package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

var errKilled = errors.New("killed")

// killAt lets a target die before its step number n, counted from 1: from then
// on nothing that it does reaches the disk.
func killAt(t *target, n int64) (reached func() bool) {
	var steps atomic.Int64
	t.disk.step = func(string, string) error {
		if steps.Add(1) >= n {
			return errKilled
		}
		return nil
	}
	return func() bool { return steps.Load() >= n }
}

// everyStep plays a scene again and again: prepare makes a target, die runs it
// with a kill at one more step each time, and survive is what comes after.
func everyStep(t *testing.T, prepare func(*testing.T, *stage) *target, die func(*target) error, survive func(*testing.T, *stage, string)) {
	entries, content := snapshotOf(t)
	dir := memoryDir(t)
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			for n := int64(1); ; n++ {
				st := scene.set(t, dir, entries, content)
				target := prepare(t, st)
				reached := killAt(target, n)
				err := die(target)
				if !reached() {
					check(t, err)
					if n < 10 {
						t.Errorf("only %d steps", n-1)
					}
					return
				}
				if !errors.Is(err, errKilled) {
					t.Fatalf("killed at step %d: %v", n, err)
				}
				target.disk.step = nil
				check(t, target.Close())
				survive(t, st, fmt.Sprintf("killed at step %d", n))
				if t.Failed() {
					return
				}
				check(t, os.RemoveAll(filepath.Dir(st.root)))
			}
		})
	}
}

func TestKilledSwapIsReverted(t *testing.T) {
	ctx := context.Background()
	everyStep(t, func(t *testing.T, st *stage) *target { return st.staged(t) },
		func(target *target) error { return target.Swap(ctx) },
		func(t *testing.T, st *stage, what string) {
			target := st.target(t)
			check(t, target.Revert(ctx))
			st.isBefore(t, what+", reverted")
			check(t, target.Revert(ctx), target.Discard(ctx))
			if !st.missing {
				st.isBefore(t, what+", discarded")
			}
			st.isClean(t, what, !st.missing)
		})
}

func TestKilledSwapGoesOn(t *testing.T) {
	ctx := context.Background()
	everyStep(t, func(t *testing.T, st *stage) *target { return st.staged(t) },
		func(target *target) error { return target.Swap(ctx) },
		func(t *testing.T, st *stage, what string) {
			target := st.target(t)
			check(t, target.Swap(ctx))
			st.isAfter(t, what+", swapped")
			check(t, target.Swap(ctx), target.Discard(ctx))
			st.isAfter(t, what+", discarded")
			st.isClean(t, what, true)
		})
}

func TestKilledRevertIsRepeated(t *testing.T) {
	ctx := context.Background()
	swapped := func(t *testing.T, st *stage) *target {
		target := st.staged(t)
		check(t, target.Swap(ctx))
		st.isAfter(t, "swapped")
		return target
	}
	everyStep(t, swapped,
		func(target *target) error { return target.Revert(ctx) },
		func(t *testing.T, st *stage, what string) {
			target := st.target(t)
			check(t, target.Revert(ctx))
			st.isBefore(t, what+", reverted")
			check(t, target.Discard(ctx))
			st.isClean(t, what, !st.missing)
		})
}

func TestHalfASwapIsHalfReverted(t *testing.T) {
	ctx := context.Background()
	half := func(t *testing.T, st *stage) *target {
		target := st.staged(t)
		killAt(target, 18)
		if err := target.Swap(ctx); !errors.Is(err, errKilled) {
			t.Fatal("the swap has too few steps for this test")
		}
		target.disk.step = nil
		check(t, target.Close())
		return st.target(t)
	}
	everyStep(t, half,
		func(target *target) error { return target.Revert(ctx) },
		func(t *testing.T, st *stage, what string) {
			check(t, st.target(t).Revert(ctx))
			st.isBefore(t, what+", reverted")
		})
}

func TestKilledDiscardIsRepeated(t *testing.T) {
	ctx := context.Background()
	swapped := func(t *testing.T, st *stage) *target {
		target := st.staged(t)
		check(t, target.Swap(ctx))
		return target
	}
	everyStep(t, swapped,
		func(target *target) error { return target.Discard(ctx) },
		func(t *testing.T, st *stage, what string) {
			st.isAfter(t, what)
			check(t, st.target(t).Discard(ctx))
			st.isAfter(t, what+", discarded")
			st.isClean(t, what, true)
		})
}

// TestRevertAfterAKilledDiscard is against the rules, and must not make a mixture all the same.
func TestRevertAfterAKilledDiscard(t *testing.T) {
	ctx := context.Background()
	swapped := func(t *testing.T, st *stage) *target {
		target := st.staged(t)
		check(t, target.Swap(ctx))
		return target
	}
	everyStep(t, swapped,
		func(target *target) error { return target.Discard(ctx) },
		func(t *testing.T, st *stage, what string) {
			target := st.target(t)
			check(t, target.Revert(ctx))
			if maps.Equal(contents(t, st.root), st.expected()) {
				st.isAfter(t, what)
			} else {
				st.isBefore(t, what)
			}
			check(t, target.Close())
		})
}

func TestKilledStageIsDiscarded(t *testing.T) {
	ctx := context.Background()
	for _, discard := range []bool{false, true} { // also a Discard that is killed
		var st *stage
		everyStep(t, func(t *testing.T, s *stage) *target {
			st = s
			if discard {
				return s.staged(t)
			}
			return s.target(t)
		},
			func(target *target) error {
				if discard {
					return target.Discard(ctx)
				}
				_, err := target.Stage(ctx, st.entries, st.content)
				return err
			},
			func(t *testing.T, st *stage, what string) {
				target := st.target(t)
				if _, err := os.Lstat(filepath.Join(st.root, hidden)); err == nil && !discard {
					if err := target.Swap(ctx); err == nil {
						if _, err := os.Lstat(filepath.Join(st.root, hidden, testToken, dirRetired)); err != nil {
							t.Errorf("%s: half a stage was swapped", what)
						}
						check(t, target.Revert(ctx))
					}
				}
				check(t, target.Revert(ctx), target.Discard(ctx))
				st.isClean(t, what, !st.missing)
				if st.missing {
					return
				}
				// The mount's own time is set right after .holdfast came or went, not with it.
				got := fingerprint(t, st.root)
				got["."] = st.before["."]
				wantFingerprint(t, what, st.before, got)
			})
	}
}

func TestDiscardRefusesHalfASwap(t *testing.T) {
	ctx := context.Background()
	entries, content := snapshotOf(t)
	st := scenes[0].set(t, memoryDir(t), entries, content)
	target := st.staged(t)
	killAt(target, 18)
	if err := target.Swap(ctx); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	target.disk.step = nil
	if err := target.Discard(ctx); err == nil || !strings.Contains(err.Error(), "revert it first") {
		t.Errorf("discarded half a swap: %v", err)
	}
	check(t, target.Revert(ctx))
	st.isBefore(t, "reverted")
}

func TestRevertBringsBackWhatWasThereOverWhatCameSince(t *testing.T) {
	ctx := context.Background()
	entries, content := snapshotOf(t)
	for _, plain := range []bool{false, true} {
		s := scenes[0]
		s.plain = plain
		st := s.set(t, memoryDir(t), entries, content)
		target := st.staged(t)
		check(t, target.Swap(ctx))
		// A visitor's write replaces a restored file, another takes the place of one that went.
		write(t, st.root, map[string]string{"same.new": "visitor"})
		check(t, os.Rename(filepath.Join(st.root, "same.new"), filepath.Join(st.root, "same")))
		write(t, st.root, map[string]string{"goes.txt": "visitor"})
		check(t, target.Revert(ctx))
		st.isBefore(t, "reverted")
		check(t, target.Discard(ctx))
		st.isClean(t, "discarded", true)
	}
}
