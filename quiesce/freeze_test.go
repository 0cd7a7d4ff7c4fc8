package quiesce

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// worker is a process that counts into a file, so that it can be seen to stand.
type worker struct {
	pid   int
	count string
}

func startWorker(t *testing.T) worker {
	t.Helper()
	count := filepath.Join(t.TempDir(), "count")
	c := exec.Command("/bin/sh", "-c", `while :; do echo . >>"$1"; sleep 0.01; done`, "worker", count)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	w := worker{c.Process.Pid, count}
	w.isOn(t, true)
	return w
}

func (w worker) counted() int64 {
	info, err := os.Stat(w.count)
	if err != nil {
		return 0
	}
	return info.Size()
}

// isOn fails unless the worker goes on, or stands.
func (w worker) isOn(t *testing.T, want bool) {
	t.Helper()
	before := w.counted()
	wait := 10 * time.Second // to go on, in patience
	if !want {
		wait = 150 * time.Millisecond
	}
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if w.counted() > before {
			if !want {
				t.Error("the worker is on, though it is frozen")
			}
			return
		}
	}
	if want {
		t.Error("the worker stands")
	}
}

func (w worker) pidFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.pid")
	if err := os.WriteFile(path, fmt.Appendln(nil, w.pid), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newCgroup makes a cgroup v2; where there is none, the test fails: Linux has had
// it since 4.5, the freezer since 5.2.
func newCgroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		path, err := os.MkdirTemp(root, "holdfast-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for range 200 { // until the killed have left it
				os.Remove(filepath.Join(path, "inner"))
				if os.Remove(path) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%s cannot be removed", path)
		})
		return path
	}
	t.Fatal("no cgroup v2 is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified: mount -t cgroup2 none /sys/fs/cgroup/unified")
	return ""
}

func enterCgroup(t *testing.T, cgroup string, pid int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), fmt.Append(nil, pid), 0); err != nil {
		t.Fatal(err)
	}
}

func TestWorkersStandWhileRequestsAreHeld(t *testing.T) {
	for _, kind := range []string{"cgroup", "process"} {
		t.Run(kind, func(t *testing.T) {
			k := newKeeper(t, quick)
			if kind == "cgroup" {
				cgroup := newCgroup(t)
				w := startWorker(t)
				enterCgroup(t, cgroup, w.pid)
				k.Freeze = []Freezable{{Cgroup: cgroup}}
				frozenUnderALease(t, k, w)
				return
			}
			w := startWorker(t)
			k.Freeze = []Freezable{{PIDFile: w.pidFile(t)}}
			frozenUnderALease(t, k, w)
		})
	}
}

func frozenUnderALease(t *testing.T, k *Keeper, w worker) {
	t.Helper()
	for name, end := range map[string]func(*Lease){
		"released":     func(l *Lease) { l.Release() },
		"holder gone":  func(l *Lease) { l.Drop(); <-l.done },
		"killed gate":  func(*Lease) { restart(t, k) },
		"ended by max": func(l *Lease) { l.late(0); <-l.done },
	} {
		l := acquire(t, k, Mark)
		w.isOn(t, false)
		if frozen := k.Status().Frozen; len(frozen) != 1 {
			t.Errorf("%s: the status names %q as frozen", name, frozen)
		}
		end(l)
		w.isOn(t, true)
		if _, err := os.Stat(string(k.Record)); err == nil {
			t.Errorf("%s: the record is still there", name)
		}
		k.lease = nil
		k.Gate = &Gate{Site: quick}
	}
}

// restart begins as a gate does that follows one which was killed.
func restart(t *testing.T, killed *Keeper) {
	t.Helper()
	next := &Keeper{Gate: &Gate{Site: quick}, Record: killed.Record, Hooks: killed.Hooks, Log: killed.Log}
	started(t, next)
	next.Stop()
}

func TestWhatMustNotBeFrozen(t *testing.T) {
	ours := newCgroup(t)
	inner := filepath.Join(ours, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	w := startWorker(t)
	enterCgroup(t, inner, w.pid)
	for _, c := range []struct {
		name   string
		what   Freezable
		holder int
		want   string
	}{
		{"a cgroup with the holder, further down", Freezable{Cgroup: ours}, w.pid, "nobody would thaw"},
		{"the holder's process", Freezable{PIDFile: w.pidFile(t)}, w.pid, "nobody would thaw"},
		{"ourselves", Freezable{PIDFile: worker{pid: os.Getpid()}.pidFile(t)}, 0, "nobody would thaw"},
		{"no cgroup", Freezable{Cgroup: t.TempDir()}, 0, "is no cgroup v2"},
		{"no process", Freezable{PIDFile: worker{pid: 1 << 30}.pidFile(t)}, 0, "no such process"},
		{"no number", Freezable{PIDFile: "/dev/null"}, 0, "no process's id"},
		{"no file", Freezable{PIDFile: "/nowhere"}, 0, "no such file"},
	} {
		k := newKeeper(t, quick)
		k.Freeze = []Freezable{c.what}
		_, err := k.Acquire(t.Context(), Request{Mode: Mark, PID: c.holder})
		if !errors.Is(err, ErrFreeze) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if s := k.Gate.State(); s != Open {
			t.Errorf("%s: afterwards the gate is %s", c.name, s)
		}
	}
	w.isOn(t, true)
	if _, _, err := (Freezable{Cgroup: cgroupOfUs(t)}).find(0); err == nil {
		t.Error("a cgroup that holds this process was accepted")
	}
}

// cgroupOfUs makes a cgroup and moves this process into it until the test ends.
func cgroupOfUs(t *testing.T) string {
	t.Helper()
	path := newCgroup(t)
	enterCgroup(t, path, os.Getpid())
	t.Cleanup(func() { enterCgroup(t, filepath.Dir(path), os.Getpid()) })
	return path
}

// A process that has got the number of one that is gone is left alone.
func TestAnotherProcessOfTheSameNumber(t *testing.T) {
	w := startWorker(t)
	other := Frozen{PID: w.pid, Start: 1}
	if err := other.freeze(t.Context()); !errors.Is(err, errGone) {
		t.Errorf("freezing returned %v", err)
	}
	if err := other.thaw(); err != nil {
		t.Errorf("thawing returned %v", err)
	}
	w.isOn(t, true)
}

// A process that has ended, and of which nobody has taken notice yet, is found to be
// gone at once: it cannot be stopped.
func TestAWorkerThatHasEnded(t *testing.T) {
	c := exec.Command("/bin/cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	k := newKeeper(t, quick)
	k.MaxHold = time.Minute
	k.Freeze = []Freezable{{PIDFile: worker{pid: c.Process.Pid}.pidFile(t)}}
	acquire(t, k, Mark).Release()
	in.Close()
	for {
		l, err := k.Acquire(t.Context(), Request{Mode: Mark})
		if errors.Is(err, errGone) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	}
}

// Who stopped a process before us wants it to stand after us too.
func TestWhatWasFrozenBefore(t *testing.T) {
	w := startWorker(t)
	k := newKeeper(t, quick)
	k.Freeze = []Freezable{{PIDFile: w.pidFile(t)}}
	found, _, err := k.Freeze[0].find(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	acquire(t, k, Mark).Release()
	w.isOn(t, false)
	if err := found.thaw(); err != nil {
		t.Fatal(err)
	}
	w.isOn(t, true)
}

func TestHooks(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string
		want   string // what was done, in order
		err    string
		killed bool // the gate, while it held
	}{
		{"both", "echo before >>LOG", "before\nafter\nagain\n", "", false},
		{"a failure ends the hold, and what was begun is undone", "echo before >>LOG; echo no room >&2; exit 3", "before\nafter\nagain\n", "no room", false},
		{"one that never ends", "echo before >>LOG; sleep 60", "before\nafter\nagain\n", "too long", false},
		{"one that leaves a child behind", "(sleep 60 &) ; echo before >>LOG; sleep 60", "before\nafter\nagain\n", "too long", false},
		{"one that leaves somebody running", "sleep 3 & echo before >>LOG", "before\nafter\nagain\n", "", false},
		{"the gate is killed", "echo before >>LOG", "before\nafter\nagain\n", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := filepath.Join(t.TempDir(), "log")
			in := func(command string) string { return strings.ReplaceAll(command, "LOG", done) }
			k := newKeeper(t, quick)
			k.Hooks = Hooks{Before: []string{in(c.before)}, After: []string{in("echo after >>LOG"), in("exit 1"), in("echo again >>LOG")}, Time: 300 * time.Millisecond}
			l, err := k.Acquire(t.Context(), Request{Mode: Mark, Holder: "test"})
			switch {
			case c.err == "" && err != nil, c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Fatalf("the hold ended with %v, want %q", err, c.err)
			case c.killed:
				restart(t, k)
			case err == nil:
				if r := l.Release(); len(r.Trouble) != 1 || !strings.Contains(r.Trouble[0], "exit 1") {
					t.Errorf("the report tells of %q", r.Trouble)
				}
			}
			if got, _ := os.ReadFile(done); string(got) != c.want {
				t.Errorf("done was %q, want %q", got, c.want)
			}
		})
	}
}

// A hold that is ended by force before it is on leaves nothing frozen, and undoes what
// its hooks have begun.
func TestForceWhileTheHoldIsPrepared(t *testing.T) {
	w := startWorker(t)
	dir := t.TempDir()
	begun, undone := filepath.Join(dir, "begun"), filepath.Join(dir, "undone")
	k := newKeeper(t, quick)
	k.Freeze = []Freezable{{PIDFile: w.pidFile(t)}}
	k.Hooks = Hooks{Before: []string{"touch " + begun + "; sleep 60"}, After: []string{"touch " + undone}, Time: time.Minute}
	ended := make(chan error, 1)
	go func() {
		_, err := k.Acquire(t.Context(), Request{Mode: Mark, Holder: "test"})
		ended <- err
	}()
	for {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	k.Force()
	if err := <-ended; !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "by force") {
		t.Errorf("whoever wanted to hold was told %v", err)
	}
	w.isOn(t, true)
	for path, want := range map[string]bool{undone: true, string(k.Record): false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	k.Hooks = Hooks{}
	acquire(t, k, Mark).Release()
}

func TestParseFreezable(t *testing.T) {
	for text, want := range map[string]Freezable{"cgroup:/sys/fs/cgroup/x": {Cgroup: "/sys/fs/cgroup/x"}, "pid:/run/x.pid": {PIDFile: "/run/x.pid"}} {
		if got, err := ParseFreezable(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/x", "cgroup:x", "pid:", "file:/x"} {
		if _, err := ParseFreezable(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func FuzzStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(own))
	f.Add("1 (a) b) T " + strings.Repeat("1 ", 30))
	f.Fuzz(func(t *testing.T, text string) { parseStat(text) })
}
