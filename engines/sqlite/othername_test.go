package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/engines/enginetest"
)

// The write-ahead log of an application that has the database open under another name
// lies beside that name. What was committed to it is not seen, so that is refused; what
// is open under the same name is not.
func TestADatabaseThatIsOpenUnderAnotherName(t *testing.T) {
	path := filled(t, "wal")
	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	near := start(t, "lock", []string{path, "BEGIN"})
	near.expect("locked")
	if _, err := capture(t.Context(), path, enginetest.NewMemory()); err != nil {
		t.Errorf("open under its own name: %v", err)
	}
	near.end()
	far := start(t, "lock", []string{other, "CREATE TABLE committed_there (v); BEGIN"})
	far.expect("locked")
	_, err := capture(t.Context(), path, enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), "has it open as "+other) {
		t.Errorf("open under another name: %v", err)
	}
	far.end()
	if _, err := capture(t.Context(), path, enginetest.NewMemory()); err != nil {
		t.Errorf("open no more: %v", err)
	}
}
