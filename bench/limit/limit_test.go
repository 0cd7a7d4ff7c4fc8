package limit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"holdfast/bench/corpus"
	"holdfast/bench/disk"
)

func TestLimitHandlesEveryByte(t *testing.T) {
	for name, test := range map[string]struct {
		data    corpus.Days
		percent int64 // of the data that is stored at most
	}{
		"mixed":          {corpus.Mixed{Seed: 1, Scale: 0.005}, 90},
		"small files":    {corpus.Small{Seed: 1, Files: 1500}, 40},
		"dump":           {corpus.Dump{Seed: 1, Size: 3e6}, 50},
		"sparse":         {corpus.Sparse{Seed: 1, Size: 100e6, Data: 8 << 20}, 9},
		"incompressible": {corpus.Incompressible{Seed: 1, Files: 5}, 101},
	} {
		for _, byBlob := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/by blob %v", name, byBlob), func(t *testing.T) {
				dir := t.TempDir()
				from, repo, to, news := filepath.Join(dir, "corpus"), filepath.Join(dir, "repo"), filepath.Join(dir, "out"), filepath.Join(dir, "news")
				if err := test.data.Create(t.Context(), from); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(repo, 0o755); err != nil {
					t.Fatal(err)
				}
				run := func(args ...string) {
					t.Helper()
					if byBlob {
						args = append([]string{"by-blob"}, args...)
					}
					if err := Run(t.Context(), args); err != nil {
						t.Fatalf("%v: %v", args, err)
					}
				}
				size := func(dir string) int64 {
					t.Helper()
					s, err := disk.Measure(dir)
					if err != nil {
						t.Fatal(err)
					}
					return s.Bytes
				}
				run("first", from, repo)
				run("unchanged", from, repo)
				run("restore", to, repo)
				want, err := disk.ContentsOf(t.Context(), from)
				if err != nil {
					t.Fatal(err)
				}
				if err := want.Same(t.Context(), to); err != nil {
					t.Error(err)
				}
				whole, stored := size(from), size(repo)
				if stored > whole*test.percent/100 {
					t.Errorf("%d bytes stored of %d, more than %d %%", stored, whole, test.percent)
				}
				if err := test.data.NextDay(t.Context(), from, 1); err != nil {
					t.Fatal(err)
				}
				if err := test.data.News(t.Context(), news, 1); err != nil {
					t.Fatal(err)
				}
				run("next", from, repo, news)
				if grown, fresh := size(repo)-stored, size(news); grown < fresh/10 || grown > fresh+1<<10 {
					t.Errorf("the next day stored %d bytes, %d were new", grown, fresh)
				}
			})
		}
	}
}

func TestWrongArgumentsAreSaid(t *testing.T) {
	for _, args := range [][]string{nil, {"first", "a"}, {"first", "a", "b", "c"}, {"next", "a", "b"}, {"unknown", "a", "b"}} {
		if err := Run(t.Context(), args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}
