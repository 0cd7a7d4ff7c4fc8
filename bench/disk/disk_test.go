package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSame(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		damage func(t *testing.T, root string)
		want   string // in the error; "" where the trees are the same
	}{
		"the same":     {func(*testing.T, string) {}, ""},
		"other bytes":  {func(t *testing.T, root string) { write(t, root+"/a/one", "eins") }, "a/one has other bytes"},
		"missing file": {func(t *testing.T, root string) { os.Remove(root + "/b/two") }, "b/two is missing"},
		"extra file":   {func(t *testing.T, root string) { write(t, root+"/b/three", "3") }, "b/three was never in the corpus"},
		"nothing":      {func(t *testing.T, root string) { os.RemoveAll(root) }, "not in"},
	} {
		for _, below := range []string{"", "/srv/corpus"} {
			t.Run(name+" "+below, func(t *testing.T) {
				dir := t.TempDir()
				from, out := dir+"/corpus", dir+"/out"
				for _, root := range []string{from, out + below} {
					write(t, root+"/a/one", "one")
					write(t, root+"/b/two", "two")
				}
				test.damage(t, out+below)
				os.MkdirAll(out, 0o755)
				want, err := ContentsOf(t.Context(), from)
				if err != nil {
					t.Fatal(err)
				}
				err = want.Same(t.Context(), out)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error is %v, want %q", err, test.want)
				}
			})
		}
	}
}

// sparse writes a file of 3 MiB with data at 1 MiB and at the end.
func sparse(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data := bytes.Repeat([]byte("data"), 16<<10)
	for _, at := range []int64{1 << 20, 3<<20 - 64<<10} {
		if _, err := file.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExtentsAreWhereTheDataIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	sparse(t, path)
	got, err := Extents(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Extent{{1 << 20, 1<<20 + 64<<10}, {3<<20 - 64<<10, 3 << 20}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := Extents(path); err != nil || len(got) > 0 {
		t.Errorf("an empty file: %v, %v", got, err)
	}
}

// Whether zeros are holes makes no difference to what a file holds.
func TestHolesAreZeros(t *testing.T) {
	holes, written := t.TempDir(), t.TempDir()
	sparse(t, holes+"/image")
	content, err := os.ReadFile(holes + "/image")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(written+"/image", content, 0o644); err != nil {
		t.Fatal(err)
	}
	var a, b syscall.Stat_t
	if syscall.Stat(holes+"/image", &a) != nil || syscall.Stat(written+"/image", &b) != nil || a.Blocks >= b.Blocks {
		t.Fatalf("%d and %d blocks: this file system knows no holes", a.Blocks, b.Blocks)
	}
	want, err := ContentsOf(t.Context(), holes)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Same(t.Context(), written); err != nil {
		t.Error(err)
	}
	content[2<<20] = 1
	if err := os.WriteFile(written+"/image", content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := want.Same(t.Context(), written); err == nil {
		t.Error("a byte in the middle of a hole made no difference")
	}
	if err := os.Truncate(holes+"/image", 4<<20); err != nil {
		t.Fatal(err)
	}
	if err := want.Same(t.Context(), holes); err == nil {
		t.Error("a longer hole at the end made no difference")
	}
}

func TestMeasureAndWarm(t *testing.T) {
	dir := t.TempDir()
	sparse(t, dir+"/image")
	if err := os.MkdirAll(dir+"/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/a/b/c", []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("b/c", dir+"/a/link"); err != nil {
		t.Fatal(err)
	}
	if size, err := Measure(dir); err != nil || size != (Size{2, 3<<20 + 5}) {
		t.Errorf("%v, %v", size, err)
	}
	if err := Warm(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := Warm(t.Context(), dir+"/none"); err == nil {
		t.Error("nothing was there to read, and no error")
	}
}
