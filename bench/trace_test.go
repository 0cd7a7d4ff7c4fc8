package main

import (
	"strings"
	"testing"

	"holdfast/bench/report"
)

// python runs a program that makes known calls.
func python(t *testing.T, dir, program string) command {
	t.Helper()
	need(t, "python3")
	need(t, "strace")
	return command{program: "/usr/bin/env", args: []string{"python3", "-c", program}, env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, dir: dir}
}

func TestCountSyncs(t *testing.T) {
	c := python(t, t.TempDir(), `
import mmap, os, threading
f = os.open("f", os.O_RDWR | os.O_CREAT)
os.write(f, b"x" * 4096)
for _ in range(3): os.fsync(f)
def others():
    for _ in range(20): os.fsync(f)
threads = [threading.Thread(target=others) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
for _ in range(5): os.fdatasync(f)
m = mmap.mmap(f, 4096); m[0] = 1; m.flush()
os.close(os.open("s", os.O_WRONLY | os.O_CREAT | os.O_SYNC))
os.close(os.open("O_SYNC, or so", os.O_WRONLY | os.O_CREAT))
os.close(os.open("d", os.O_WRONLY | os.O_CREAT | os.O_DSYNC))
os.sync()
if os.fork() == 0:
    os.fsync(f)
    os._exit(0)
os.wait()
`)
	got, err := countSyncs(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := report.Syncs{"fsync": 84, "fdatasync": 5, "msync": 1, "open O_SYNC": 1, "open O_DSYNC": 1, "sync": 1}
	if got.String() != want.String() {
		t.Errorf("counted %s, want %s", got, want)
	}
}

func TestCountSyncsOfNothing(t *testing.T) {
	need(t, "strace")
	got, err := countSyncs(t.Context(), shell("echo hello >/dev/null"))
	if err != nil || len(got) > 0 {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := countSyncs(t.Context(), shell("echo no such thing >&2; exit 3")); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("error is %v, want what the command wrote", err)
	}
}

func TestCountReads(t *testing.T) {
	dir := t.TempDir()
	c := python(t, dir, `
import os
os.mkdir("repo"); os.mkdir("beside")
for name in "repo/a", "repo/b", "beside/c":
    with open(name, "wb") as f: f.write(b"x" * 100000)
a = os.open("repo/a", os.O_RDONLY)
os.pread(a, 1000, 0); os.pread(a, 1000, 500); os.pread(a, 1000, 99500)
b = os.open("repo/b", os.O_RDONLY)
os.read(b, 200); os.read(b, 200); os.lseek(b, 300, 0); os.read(b, 200); os.read(b, 200)
os.close(b)
b = os.open("repo/b", os.O_RDONLY)
os.read(b, 50)
os.read(os.open("beside/c", os.O_RDONLY), 100)
`)
	got, err := countReads(t.Context(), c, dir+"/repo")
	if err != nil {
		t.Fatal(err)
	}
	// a: 0–1500 and 99500–100000; b: 0–700.
	if want := (report.ReadBytes{All: 2500 + 850, Once: 2000 + 700}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestCallsInTwoLinesAreOne(t *testing.T) {
	log := `7  openat(AT_FDCWD</>, "a", O_RDONLY <unfinished ...>
8  pread64(5</repo/b>, ""..., 10, 20 <unfinished ...>
7  <... openat resumed>)             = 3</repo/a>
8  <... pread64 resumed>)            = 10
9  fsync(3</repo/a> <unfinished ...>
`
	var calls []string
	if err := eachCall(strings.NewReader(log), func(call string) { calls = append(calls, call) }); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 3 || !strings.HasPrefix(calls[0], `openat(AT_FDCWD</>, "a", O_RDONLY)`) || !strings.HasPrefix(calls[1], "pread64(5</repo/b>, \"\"..., 10, 20)") || !strings.HasPrefix(calls[2], "fsync") {
		t.Errorf("calls are %q", calls)
	}
	r := reads{dirs: []string{"/none", "/repo"}, position: map[string]int64{}, ranges: map[string][]span{}}
	r.see(calls[1])
	if r.total().All != 10 {
		t.Errorf("%+v, want the ten bytes", r.total())
	}
}
