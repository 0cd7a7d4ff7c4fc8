package files

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/engines/enginetest"
)

// What is touched between the mark and the release is named; what is left out is not.
func TestWhatIsTouchedAfterTheMarkIsNamed(t *testing.T) {
	root := scratchDir(t)
	for _, dir := range []string{"2026/11", "cache"} {
		check(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	file := filepath.Join(root, "2026/11/a.jpg")
	check(t, os.WriteFile(file, []byte("a"), 0o644))
	for _, c := range []struct {
		name  string
		after func() error
		want  string
	}{
		{"nobody", func() error { return nil }, ""},
		{"an upload into a directory that came after the pre-copy", func() error { return os.WriteFile(filepath.Join(root, "came/a.jpg"), nil, 0o644) }, "touched: uploads/came/a.jpg"},
		{"a reader", func() error { _, err := os.ReadFile(file); return err }, ""},
		{"what is left out", func() error { return os.WriteFile(filepath.Join(root, "cache/x.tmp"), nil, 0o644) }, ""},
		{"an upload", func() error { return os.WriteFile(filepath.Join(root, "2026/11/b.jpg"), []byte("b"), 0o644) }, "touched: uploads/2026/11/b.jpg"},
		{"a change", func() error { return os.WriteFile(file, []byte("b"), 0o644) }, "touched: uploads/2026/11/a.jpg"},
		{"a removal", func() error { return os.Remove(file) }, "touched: uploads/2026/11/a.jpg"},
		{"a new directory", func() error { return os.MkdirAll(filepath.Join(root, "2026/12"), 0o755) }, "touched: uploads/2026/12"},
	} {
		service := mountService(root)
		service.Exclude = []string{"*.tmp"}
		made, err := Engine.Source(service)
		check(t, err)
		s, memory := made.(*source), enginetest.NewMemory()
		check(t, s.Prepare(t.Context(), memory))
		check(t, os.RemoveAll(filepath.Join(root, "came")), os.Mkdir(filepath.Join(root, "came"), 0o755))
		_, err = s.Mark(t.Context(), memory)
		check(t, err)
		check(t, c.after())
		if moved, err := s.Moved(t.Context()); err != nil || moved != c.want {
			t.Errorf("%s, after the mark: %q, %v; want %q", c.name, moved, err, c.want)
		}
		check(t, s.Close())
	}
}
