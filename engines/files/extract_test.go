package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAFailedExtractLeavesNothing: whichever step fails, once, the directory is
// empty again but for what a fresh disk holds.
func TestAFailedExtractLeavesNothing(t *testing.T) {
	entries, content := snapshotOf(t)
	dir := filepath.Join(memoryDir(t), "into")
	check(t, os.MkdirAll(filepath.Join(dir, lostAndFound), 0o700))
	errStep := errors.New("this step fails")
	for n := int64(1); ; n++ {
		root, err := openRoot(dir)
		check(t, err)
		var steps atomic.Int64
		failed := ""
		d := &disk{step: func(op, name string) error {
			if op == "removexattr" || steps.Add(1) != n { // that one may fail
				return nil
			}
			failed = op + " " + name
			return errStep
		}}
		_, err = extract(t.Context(), d, root, content, entries)
		check(t, unix.Close(root))
		if failed == "" {
			check(t, err)
			if n < 20 {
				t.Errorf("only %d steps", n-1)
			}
			break
		}
		if !errors.Is(err, errStep) {
			t.Fatalf("step %d, %s, failed: %v", n, failed, err)
		}
		if names := strings.Join(namesIn(t, dir), " "); names != lostAndFound {
			t.Fatalf("after step %d, %s, failed, it holds %s", n, failed, names)
		}
	}
	if names := strings.Join(namesIn(t, dir), " "); names != lostAndFound+" uploads" {
		t.Errorf("at last it holds %s", names)
	}
}
