package storage_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"holdfast/internal/storage"
)

// Large objects go around the page cache as far as they are aligned: in memory,
// which is not always so, and in length.
func TestLargeObjectsOfAnyLengthAndAlignmentComeBack(t *testing.T) {
	store, err := storage.CreateLocal(filepath.Join(t.TempDir(), "repo"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	memory := make([]byte, 3<<20)
	for i := range memory {
		memory[i] = byte(i * 7 >> 3)
	}
	for _, skip := range []int{0, 1, 512, 4096} {
		for _, n := range []int{1<<20 - 1, 1 << 20, 1<<20 + 1, 1<<20 + 4095, 2<<20 + 4096, 2<<20 + 4097} {
			name, data := fmt.Sprintf("packs/%d-%d", skip, n), memory[skip:][:n]
			if err := store.Put(t.Context(), name, data); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := storage.ReadAll(t.Context(), store, name, 1<<30)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes come back, or other ones: %v", name, len(got), err)
			}
			name += "-draft"
			draft, err := store.Begin(t.Context(), "packs")
			if err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; {
				part := min(len(rest), 512<<10)
				if err := draft.Write(t.Context(), rest[:part]); err != nil {
					t.Fatal(err)
				}
				rest = rest[part:]
			}
			if err := draft.Commit(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			got, err = storage.ReadAll(t.Context(), store, name, 1<<30)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes come back, or other ones: %v", name, len(got), err)
			}
		}
	}
}
