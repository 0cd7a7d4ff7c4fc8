package parity

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/storage"
)

// TestWhatWaitsAndIsFarTooLong is torn, and not read into memory.
func TestWhatWaitsAndIsFarTooLong(t *testing.T) {
	dir := t.TempDir()
	store, err := storage.CreateLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	file := filepath.Join(dir, mended, "pins/one")
	if err := store.Put(t.Context(), mended+"pins/one", []byte("the beginning")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := Resume(t.Context(), store, func(string, []byte) bool { return false }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
