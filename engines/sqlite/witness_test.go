package sqlite

import (
	"os/exec"
	"strings"
	"testing"

	"holdfast/engines/enginetest"
)

// Whoever commits between the mark and the release is noticed, in both modes; who
// reads, or checkpoints, is not.
func TestCommitsAfterTheMarkAreNoticed(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		for _, c := range []struct {
			name, statement string
			moved           bool
		}{
			{"nobody", "", false},
			{"a reader", "SELECT count(*) FROM sqlite_schema", false},
			{"a checkpoint", "PRAGMA wal_checkpoint", false},
			{"somebody who changes his mind", "BEGIN; CREATE TABLE later (v); ROLLBACK", false},
			{"a writer", "CREATE TABLE later (v)", true},
		} {
			path := filled(t, mode)
			source := newSource(t, path)
			memory := enginetest.NewMemory()
			if err := source.Prepare(t.Context(), memory); err != nil {
				t.Fatal(err)
			}
			if _, err := source.Mark(t.Context(), memory); err != nil {
				t.Fatal(err)
			}
			if c.statement != "" {
				if out, err := exec.Command("sqlite3", path, c.statement).CombinedOutput(); err != nil {
					t.Fatalf("sqlite3: %v, %s", err, out)
				}
			}
			moved, err := source.Moved(t.Context())
			if err != nil || (moved != "") != c.moved || c.moved && !strings.Contains(moved, "another connection") {
				t.Errorf("%s, after the mark, in mode %s: %q, %v", c.name, mode, moved, err)
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func newSource(t *testing.T, path string) *source {
	t.Helper()
	s, err := Engine.Source(serviceOf(path))
	if err != nil {
		t.Fatal(err)
	}
	return s.(*source)
}
