package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/bench/corpus"
)

// The program calls itself; in tests that is this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "measured" || os.Args[1] == "limit") {
		if err := dispatch(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func shell(script string) command {
	return command{program: "/bin/sh", args: []string{"-c", script}, env: os.Environ(), dir: "/"}
}

func TestMeasureTellsTheChildFromItself(t *testing.T) {
	ballast := bytes.Repeat([]byte{1}, 200<<20)
	m, err := measure(t.Context(), self(t), shell("true"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Peak <= 0 || m.Peak > 100<<20 {
		t.Errorf("true took %d bytes beside our %d, want a few millions", m.Peak, len(ballast))
	}
	m, err = measure(t.Context(), self(t), shell("head -c 150000000 /dev/zero | tail -c 150000000 >/dev/null; sleep 0.2"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Peak < 150_000_000 || m.Peak > 200<<20 {
		t.Errorf("peak is %d bytes, want the 150 MB that tail holds", m.Peak)
	}
	if m.Seconds < 0.2 || m.CPU <= 0 {
		t.Errorf("%.3f s and %.3f s CPU, want at least the 0.2 s that sleep takes, and some CPU", m.Seconds, m.CPU)
	}
}

func TestMeasureSaysWhyACommandFailed(t *testing.T) {
	_, err := measure(t.Context(), self(t), shell("echo wrong password >&2; exit 12"))
	if err == nil || !strings.Contains(err.Error(), "wrong password") {
		t.Errorf("error is %v, want what the command wrote", err)
	}
}

func TestLimitHandlesEveryByte(t *testing.T) {
	for name, data := range map[string]data{
		"mixed":       corpus.Mixed{Seed: 1, Scale: 0.005},
		"small files": corpus.Small{Seed: 1, Files: 1500},
		"dump":        corpus.Dump{Seed: 1, Size: 3e6},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, repo, to := filepath.Join(dir, "corpus"), filepath.Join(dir, "repo"), filepath.Join(dir, "out")
			if err := data.Create(t.Context(), from); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(repo, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"first", from, repo}, {"unchanged", from, repo}, {"next", from, repo}, {"restore", to, repo}} {
				if err := runLimit(t.Context(), args); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
			}
			if err := sameTree(from, to); err != nil {
				t.Error(err)
			}
			stored, err := measureTree(repo)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := measureTree(from)
			if err != nil {
				t.Fatal(err)
			}
			if stored.Bytes >= whole.Bytes*9/10 {
				t.Errorf("%d bytes stored of %d: nothing was compressed", stored.Bytes, whole.Bytes)
			}
		})
	}
}

// The whole runner, against a real peer.
func TestRaceBesideRestic(t *testing.T) {
	if _, err := exec.LookPath("restic"); err != nil {
		t.Fatal("restic is not installed: apt-get install restic")
	}
	found, _ := installed(tools(self(t), "no/such/holdfast"), "limit,restic")
	r := race{self: self(t), dir: t.TempDir(), data: corpus.Mixed{Seed: 1, Scale: 0.005}, tools: found, log: io.Discard}
	columns, total, err := r.run(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(columns) != 2 || columns[0].Name != "limit" || columns[1].Name != "restic" {
		t.Fatalf("columns are %+v, want limit and restic", columns)
	}
	for _, c := range columns {
		for at := range steps {
			values := c.Steps[at.String()]
			if len(values) != 2 {
				t.Errorf("%s, %s: %d values, want one per run", c.Name, at, len(values))
			}
			for _, m := range values {
				if m.Seconds <= 0 || m.CPU <= 0 || m.Peak <= 0 {
					t.Errorf("%s, %s: %+v, want all figures above 0", c.Name, at, m)
				}
			}
		}
	}
	restic := columns[1]
	if one, two := restic.DayOne[0], restic.DayTwo[0]; one < total.Bytes/2 || one > total.Bytes || two <= one {
		t.Errorf("restic's repository had %d and then %d bytes for a corpus of %d", one, two, total.Bytes)
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("%s was left behind", left[0].Name())
	}
}

func TestSameTree(t *testing.T) {
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
				err := sameTree(from, out)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error is %v, want %q", err, test.want)
				}
			})
		}
	}
}

func TestMissingToolsAreSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	found, leftOut := installed(tools(self(t), "no/such/holdfast"), "")
	if len(found) != 1 || found[0].name != "limit" {
		t.Errorf("found %d tools with an empty PATH, want the limit alone", len(found))
	}
	said := strings.Join(leftOut, "\n")
	for _, want := range []string{"make build", "apt-get install restic", "kopia", "apt-get install borgbackup"} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q, want %q in it", said, want)
		}
	}
}

func TestReport(t *testing.T) {
	timed := func(seconds ...float64) map[string][]measurement {
		all := map[string][]measurement{}
		for at := range steps {
			for _, s := range seconds {
				all[at.String()] = append(all[at.String()], measurement{Seconds: s, CPU: 2 * s, Peak: 80e6})
			}
		}
		return all
	}
	r := report{Data: "mixed", Runs: 3, Size: size{Files: 7, Bytes: 12e6}, LeftOut: []string{"kopia is left out"}, Tools: []column{
		{Name: "limit", Steps: timed(1, 1, 2), DayOne: []int64{1 << 20}, DayTwo: []int64{1 << 20}},
		{Name: "holdfast", Steps: timed(2, 2, 4), DayOne: []int64{2 << 20}, DayTwo: []int64{3 << 20}},
		{Name: "restic", Steps: timed(8, 10, 40), DayOne: []int64{2 << 20}, DayTwo: []int64{7 << 20}},
	}}
	var text strings.Builder
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mixed: 12 MB in 7 files; medians of 3 runs",
		"kopia is left out",
		"first, s 1.00 2.00 10.00",
		"least–most, s 1.00–2.00 2.00–4.00 8.00–40.00",
		"CPU, s 2.00 4.00 20.00",
		"peak, MB 80 80 80",
		"times holdfast ×0.50 ×1.00 ×5.00", // restic: of ×4, ×5 and ×10
		"of the limit 100.0 % 50.0 % 10.0 %",
		"growth, MiB 0.0 1.0 5.0",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
}
