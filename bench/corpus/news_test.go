package corpus

import (
	"bytes"
	"path/filepath"
	"syscall"
	"testing"
)

// News is the lower bound of what a day can cost: bytes that stand in the corpus
// of that day and did not in the one before.
func TestNewsIsWhatADayBrings(t *testing.T) {
	for name, test := range map[string]struct {
		corpus    Days
		low, high int // bytes that are new on day 2
	}{
		"mixed":          {Mixed{Seed: 1, Scale: 0.01}, 600_000, 1_800_000},
		"small files":    {Small{Seed: 1, Files: 1500}, 3_000, 40_000},
		"dump":           {Dump{Seed: 1, Size: 1e6}, 10_000, 40_000},
		"sparse":         {Sparse{Seed: 1, Size: 60e6, Data: 8 << 20}, 8 << 20 / 100, 8<<20/100 + 64<<10},
		"incompressible": {Incompressible{Seed: 1, Files: 20}, 500_000, 1_500_000},
	} {
		t.Run(name, func(t *testing.T) {
			dir, news := t.TempDir(), t.TempDir()
			var before, after map[string][]byte
			for day := range 3 {
				before = after
				if err := play(t, test.corpus, dir, day); err != nil {
					t.Fatal(err)
				}
				after = byDirectory(t, dir)
			}
			if err := test.corpus.News(t.Context(), news, 2); err != nil {
				t.Fatal(err)
			}
			total, absent, old := 0, 0, 0
			for name, file := range read(t, news) {
				for _, piece := range pieces(name, file.bytes) {
					total += len(piece)
					if !bytes.Contains(after[filepath.Dir(name)], piece) {
						absent += len(piece) // written over on the same day
					}
					if bytes.Contains(before[filepath.Dir(name)], piece) {
						old += len(piece)
					}
				}
			}
			if absent > total/20 || old > total/100 {
				t.Errorf("of %d bytes said to be new, %d are not there and %d were there before", total, absent, old)
			}
			if total < test.low || total > test.high {
				t.Errorf("%d new bytes, want %d to %d", total, test.low, test.high)
			}
		})
	}
}

// pieces are what must be found in one place: the rows of a dump, else whole files.
func pieces(name string, content []byte) [][]byte {
	if filepath.Base(name) == DumpFile {
		return bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	}
	return [][]byte{content}
}

// byDirectory returns the contents of all files, joined, by their directory.
func byDirectory(t *testing.T, dir string) map[string][]byte {
	joined := map[string][]byte{}
	for name, file := range read(t, dir) {
		joined[filepath.Dir(name)] = append(joined[filepath.Dir(name)], file.bytes...)
	}
	return joined
}

func TestSparseStaysSparse(t *testing.T) {
	dir := t.TempDir()
	c := Sparse{Seed: 2, Size: 200e6, Data: 10 << 20}
	for day := range 3 {
		if err := play(t, c, dir, day); err != nil {
			t.Fatal(err)
		}
		var stat syscall.Stat_t
		if err := syscall.Stat(filepath.Join(dir, sparsePath), &stat); err != nil {
			t.Fatal(err)
		}
		if onDisk := stat.Blocks * 512; stat.Size != c.Size || onDisk < c.Data || onDisk > c.Data+c.Data/10 {
			t.Errorf("day %d: %d bytes, %d on the disk; want %d and %d", day, stat.Size, onDisk, c.Size, c.Data)
		}
	}
}

func TestOfKnowsEveryKind(t *testing.T) {
	for _, kind := range Kinds() {
		if _, err := Of(kind, 1, 0.1); err != nil {
			t.Error(err)
		}
	}
	for kind, scale := range map[string]float64{"unknown": 1, "mixed": 0, "dump": -1} {
		if _, err := Of(kind, 1, scale); err == nil {
			t.Errorf("%s at scale %v was accepted", kind, scale)
		}
	}
}
