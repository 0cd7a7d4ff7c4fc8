package corpus

import (
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// A file as a test sees it.
type file struct {
	bytes   []byte
	inode   uint64
	changed syscall.Timespec
}

// read returns all files below dir by their relative path.
func read(t *testing.T, dir string) map[string]file {
	t.Helper()
	files := map[string]file{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		name, err := filepath.Rel(dir, path)
		files[name] = file{bytes: content, inode: stat.Ino, changed: stat.Ctim}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// digest is one hash over all names and contents.
func digest(t *testing.T, dir string) string {
	t.Helper()
	hash := blake3.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		sum := blake3.Sum256(content)
		name, _ := filepath.Rel(dir, path)
		hash.WriteString(name + "\x00")
		hash.Write(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// The bytes of a corpus are part of every published figure: they must not change
// by accident. Whoever changes them on purpose measures everything again.
func TestCorporaAreTheSameEverywhere(t *testing.T) {
	for name, test := range map[string]struct {
		corpus Days
		want   [3]string // after day 0, 1, 2
	}{
		"mixed":            {Mixed{Seed: 1, Scale: 0.01}, [3]string{"18b514a7a92de50d", "f204f1e83da781f7", "0511091593647f74"}},
		"mixed, seed 2":    {Mixed{Seed: 2, Scale: 0.01}, [3]string{"e7a095d4d5a33266", "4fdb070a12b34fc2", "a611ecd460ad2576"}},
		"small files":      {Small{Seed: 1, Files: 900}, [3]string{"68a2417874eef3a3", "80ecca6e0c4116b9", "30af8cbb7f28ac50"}},
		"sparse":           {Sparse{Seed: 1, Size: 60e6, Data: 6 << 20}, [3]string{"a1eb95f7dff6b990", "d666b1e9dd475bb6", "5c9f4aecad451d37"}},
		"incompressible":   {Incompressible{Seed: 1, Files: 12}, [3]string{"e79165b86ced939b", "18b4576111172568", "7ac4991cbe338e48"}},
		"one dump of 2 MB": {Dump{Seed: 1, Size: 2e6}, [3]string{"2c24212693a59d56", "640bab6852d40b90", "0f41e5cb158cfc91"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for day, want := range test.want {
				if err := play(t, test.corpus, dir, day); err != nil {
					t.Fatal(err)
				}
				if got := digest(t, dir); got != want {
					t.Errorf("day %d: digest %s, want %s", day, got, want)
				}
			}
		})
	}
}

func play(t *testing.T, corpus Days, dir string, day int) error {
	if day == 0 {
		return corpus.Create(t.Context(), dir)
	}
	return corpus.NextDay(t.Context(), dir, day)
}

func TestMixedHasItsCountsAndSizes(t *testing.T) {
	const scale = 0.02
	dir := t.TempDir()
	if err := (Mixed{Seed: 1, Scale: scale}).Create(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	count, size := map[string]int{}, map[string]int{}
	for name, file := range read(t, dir) {
		part, _, _ := strings.Cut(name, "/")
		count[part]++
		size[part] += len(file.bytes)
		if part == "uploads" && (len(file.bytes) < 20_000 || len(file.bytes) > 1_500_000) {
			t.Errorf("%s has %d bytes, want 20 KB to 1.5 MB", name, len(file.bytes))
		}
	}
	for part, want := range map[string]struct{ count, megabytes int }{
		"database": {1, 124},
		"code":     {9671, 124},
		"uploads":  {600, 446},
		"volumes":  {1, 268},
	} {
		if got := count[part]; want.count > 1 && got != int(float64(want.count)*scale+0.5) || got == 0 {
			t.Errorf("%s: %d files, want %d × %v", part, got, want.count, scale)
		}
		if got := float64(size[part]) / 1e6 / scale; got < 0.95*float64(want.megabytes) || got > 1.05*float64(want.megabytes) {
			t.Errorf("%s: %.1f MB at full size, want %d ± 5 %%", part, got, want.megabytes)
		}
	}
}

// The kinds of data compress as what they imitate does; at zstd's fastest level
// and, as a backup would have it, file by file and in blocks of at most 1 MB.
func TestRatiosAreThoseOfRealData(t *testing.T) {
	dir := t.TempDir()
	if err := (Mixed{Seed: 3, Scale: 0.02}).Create(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := (Small{Seed: 3, Files: 500}).Create(t.Context(), filepath.Join(dir, "small")); err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	raw, packed := map[string]int{}, map[string]int{}
	for name, file := range read(t, dir) {
		part, _, _ := strings.Cut(name, "/")
		for rest := file.bytes; len(rest) > 0; {
			block := rest[:min(len(rest), 1<<20)]
			rest = rest[len(block):]
			raw[part] += len(block)
			packed[part] += min(len(block), len(encoder.EncodeAll(block, nil)))
		}
	}
	for part, want := range map[string]struct{ low, high float64 }{
		"database": {2.2, 2.6},
		"code":     {2.8, 3.3},
		"uploads":  {0.999, 1.001},
		"volumes":  {2.0, 2.3}, // ¼ random and ½ text at ×2.4
		"small":    {3, 5},
	} {
		if ratio := float64(raw[part]) / float64(packed[part]); ratio < want.low || ratio > want.high {
			t.Errorf("%s: ×%.3f, want ×%v to ×%v", part, ratio, want.low, want.high)
		}
	}
}

func TestNextDayTouchesOnlyWhatItChanges(t *testing.T) {
	dir := t.TempDir()
	mixed := Mixed{Seed: 4, Scale: 0.1}
	if err := mixed.Create(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir)
	if err := mixed.NextDay(t.Context(), dir, 1); err != nil {
		t.Fatal(err)
	}
	created, changed := map[string]int{}, map[string]int{}
	for name, now := range read(t, dir) {
		part, _, _ := strings.Cut(name, "/")
		was, existed := before[name]
		switch {
		case !existed:
			created[part]++
		case string(was.bytes) != string(now.bytes):
			changed[part]++
			if part == "code" && !strings.HasPrefix(string(now.bytes), string(was.bytes)) {
				t.Errorf("%s was not only appended to", name)
			}
			if part == "volumes" && len(was.bytes) != len(now.bytes) {
				t.Errorf("the volume changed its size from %d to %d", len(was.bytes), len(now.bytes))
			}
		case was.inode != now.inode || was.changed != now.changed:
			t.Errorf("%s was written although it did not change", name)
		}
		delete(before, name)
	}
	if len(before) > 0 {
		t.Errorf("%d files vanished", len(before))
	}
	if created["uploads"] != 1 || created["code"] != 0 {
		t.Errorf("created %v, want one image, a tenth of ten", created)
	}
	if n := changed["code"]; n < 10 || n > 30 {
		t.Errorf("%d of 967 code files changed, want about 2 %%", n)
	}
	if changed["database"] != 1 || changed["volumes"] != 1 || changed["uploads"] != 0 {
		t.Errorf("changed %v, want the dump, the volume and no image", changed)
	}
}

func TestRowsChangeAsDescribed(t *testing.T) {
	h := history{seed: 5, first: 200_000}
	if got := h.count(1); got != 202_000 {
		t.Errorf("%d rows on day 1, want 1 %% more", got)
	}
	var deleted, updatedOld, updatedNewest int
	for id := range h.first {
		version, exists := h.version(id, 1)
		switch {
		case !exists:
			deleted++
		case version == 1 && id < 180_000:
			updatedOld++
		case version == 1 && id >= 199_000:
			updatedNewest++
		}
	}
	for what, got := range map[string]struct{ n, of, low, high int }{
		"deleted":                  {deleted, 200_000, 18, 22},
		"updated among the old":    {updatedOld, 180_000, 36, 44},
		"updated among the newest": {updatedNewest, 1_000, 700, 1300},
	} {
		if rate := got.n * 10_000 / got.of; rate < got.low || rate > got.high {
			t.Errorf("%s: %d of %d in ten thousand, want %d to %d", what, rate, got.of, got.low, got.high)
		}
	}
}

func TestDumpMeetsItsSize(t *testing.T) {
	dir := t.TempDir()
	if err := (Dump{Seed: 6, Size: 20e6}).Create(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, DumpFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() < 19.6e6 || info.Size() > 20.4e6 {
		t.Errorf("%d bytes, want 20 MB ± 2 %%", info.Size())
	}
}
