package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// unchangedTree returns what walks a tree in which nothing changed, once per
// call, and the number of its files.
func unchangedTree(t testing.TB) (walk func(), files int) {
	t.Helper()
	const directories, each = 20, 200
	root := scratchDir(t)
	for d := range directories {
		dir := filepath.Join(root, fmt.Sprintf("%03d", d))
		check(t, os.Mkdir(dir, 0o755))
		for f := range each {
			check(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("entry-%05d.json", f)), []byte("x"), 0o644))
		}
	}
	settle(t)
	first := enginetest.NewMemory()
	entries := capture(t, mountService(root), first).Entries
	parent := counting{Memory: first.Next(entries)}
	now := clockOf(t, root) // once: it waits for the disk
	return func() {
		made, err := Engine.Source(mountService(root))
		check(t, err)
		made.(*source).clock = func(int) clock { return now }
		check(t, made.Prepare(t.Context(), parent))
	}, directories * each
}

// counting is a sink that keeps nothing of what it is told, and knows a parent.
type counting struct{ *enginetest.Memory }

func (c counting) Keep(tree.Entry) {}

func TestAnUnchangedFileCostsOneAllocation(t *testing.T) {
	walk, files := unchangedTree(t)
	// The one is its name with a NUL, for the kernel. What a directory needs is
	// shared by its files.
	if allocs := testing.AllocsPerRun(3, walk) / float64(files); allocs > 1.3 {
		t.Errorf("%.2f allocations for each unchanged file", allocs)
	}
}

func BenchmarkUnchangedFile(b *testing.B) {
	walk, files := unchangedTree(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += files {
		walk()
	}
}
