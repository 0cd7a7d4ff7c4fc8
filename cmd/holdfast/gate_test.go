package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/soak"
	"holdfast/quiesce"
)

// Under traffic that changes a database and a mount, a snapshot has both at one
// instant, and no visitor is turned away. Without holding it has not: so this test
// is able to fail.
func TestSnapshotsUnderTrafficAreOneInstant(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 20)
	g.begin("staging", 1)
	g.gate("master")
	g.gate("staging")
	const few, most = 8, 80 // snapshots; half of them without a hold, until one of these is broken
	broken, live := 0, 0
	v := g.visit("master", http.MethodPost, 4)
	for i := 0; i < few || i < most && broken == 0; i++ {
		flags := []string{"-e", "master", "--json", "snapshot", "create"}
		if i%2 == 1 {
			flags = append(flags, "--live")
			live++
		}
		var s struct {
			Name        string `json:"name"`
			Consistency string `json:"consistency"`
			Held        int64  `json:"held_ns"`
			Gate        *struct {
				Requests int   `json:"requests"`
				Longest  int64 `json:"longest_wait_ns"`
			} `json:"gate"`
		}
		g.must(json.Unmarshal([]byte(g.ok(flags...)), &s))
		g.ok("-e", "master", "snapshot", "restore", s.Name, "--target", "staging", "--yes", "--no-safety-snapshot")
		rows, files := g.consistent("staging")
		if i%2 == 1 {
			if rows != files {
				broken++
			}
			continue
		}
		if rows != files || rows < 20 {
			t.Errorf("a snapshot has %d rows and %d files", rows, files)
		}
		if s.Consistency != "one-instant" || s.Held == 0 || s.Gate == nil || s.Gate.Longest > int64(time.Minute) {
			t.Errorf("it says of itself %+v, %+v", s, s.Gate)
		}
	}
	v.stop()
	v.onlyOK(t)
	if rows, files := g.consistent("master"); rows != files || rows != 20+v.answers[http.StatusOK] {
		t.Errorf("%d requests were answered; there are %d rows and %d files", v.answers[http.StatusOK], rows, files)
	}
	t.Logf("%d requests, the longest took %s; of %d snapshots without a hold %d were broken", v.answers[http.StatusOK], v.longest, live, broken)
	if broken == 0 {
		t.Error("snapshots without a hold were one instant, too: the traffic does not show the difference")
	}
}

// A create that is killed lets the requests go, wherever it is.
func TestKilledCreateLetsRequestsGo(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 200)
	g.gate("master")
	v := g.visit("master", http.MethodPost, 4)
	g.killSome(func() {}, func(bool, time.Duration) { g.becomes("master", isOpen) }, "-e", "master", "snapshot", "create")
	v.stop()
	v.onlyOK(t)
}

// A restore is killed, or its gate, or both. Whatever a visitor then sees through
// the gate, it is no mixture; and the gate makes the environment whole by itself.
func TestKilledRestoreShowsNoMixture(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 300)
	g.gate("master")
	name := g.create()
	g.begin("staging", 100)
	gate := g.gate("staging", "--max-hold", "500ms")
	v := g.visit("staging", http.MethodGet, 3)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	restore := []string{"-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes"}
	started := time.Now()
	g.ok(restore...)
	whole := time.Since(started)
	tried, amid := 0, 0
	for i := range soak.Cases(t, fewKills/2) {
		tried++
		cmd := g.command(restore...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		g.must(cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // however it ended
		if i%2 == 0 {
			time.Sleep(time.Duration(random.Float64() * float64(whole)))
		} else {
			g.becomes("staging", func(s quiesce.Status) bool {
				select {
				case <-ended:
					return true
				default:
					return s.Mode == quiesce.Swap && s.State == quiesce.Held
				}
			})
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
		}
		if i%3 != 1 {
			_ = cmd.Process.Kill() // it may have ended by then
		}
		if s, err := quiesce.Client(g.path("staging.sock")).Status(t.Context()); err == nil && s.Mode == quiesce.Swap {
			amid++
		}
		if i%3 != 0 {
			g.must(gate.Process.Kill())
			_ = gate.Wait()
			gate = g.gate("staging", "--max-hold", "500ms")
		}
		<-ended
		g.becomes("staging", isOpen)
		// What was killed before it held, nobody has recovered yet, or a gate that
		// starts is about to.
		for g.unfinished("staging") {
			if _, stderr, code := g.run("-e", "staging", "snapshot", "recover"); code != 0 && code != int(exitBusy) {
				t.Fatalf("recover: exit code %d, %s", code, stderr)
			}
		}
	}
	v.stop()
	for _, body := range v.bodies {
		t.Errorf("a visitor was told %s", body)
	}
	if rows, files := g.consistent("staging"); rows != files {
		t.Errorf("in the end there are %d rows and %d files", rows, files)
	}
	t.Logf("of %d kills %d came amid a swap; visitors were answered %v, %d without an answer while the gate was dead", tried, amid, v.answers, len(v.errors))
	if amid == 0 {
		t.Error("no kill came amid a swap")
	}
}

// A restore has died, and what should recover the environment does not: whoever asks is
// told what does.
func TestTheGateOfADeadRestore(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 1)
	g.gate("master", "--recover", "test ! -e "+g.path("stuck"))
	g.write("stuck", nil)
	hold, err := quiesce.Client(g.path("master.sock")).Hold(t.Context(), quiesce.Request{Mode: quiesce.Swap, Holder: "a restore"})
	g.must(err)
	hold.Abandon()
	g.becomes("master", func(s quiesce.Status) bool { return s.Orphan })
	for socket, says := range map[string]string{
		"":                              "holdfast -e master snapshot recover",
		"unix:" + g.path("master.sock"): "holdfast -e ENVIRONMENT snapshot recover",
	} {
		args := []string{"-e", "master", "gate", "status"}
		if socket != "" {
			args = []string{"gate", "status", "--control", socket}
		}
		if stdout := g.ok(args...); !strings.Contains(stdout, `held by a restore for`) || !strings.Contains(stdout, `requests go on when "`+says+`" has succeeded`) {
			t.Errorf("%q says %s", args, stdout)
		}
	}
	g.ok("-e", "master", "snapshot", "recover")
	g.becomes("master", isOpen)
}

func TestGateCommands(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 5)
	// Without a gate that answers, create says what to do.
	if _, stderr, code := g.run("-e", "master", "snapshot", "create"); code != 1 || !strings.Contains(stderr, "hint: start it (\"holdfast gate --help\"), or take a snapshot without holding: --live") {
		t.Errorf("without a gate: exit code %d, %s", code, stderr)
	}
	g.ok("-e", "master", "snapshot", "create", "--live")
	// So does restore, before it asks anybody, and in a dry run.
	for _, flag := range []string{"--yes", "--dry-run"} {
		if _, stderr, code := g.run("-e", "master", "snapshot", "restore", flag); code != 1 || !strings.Contains(stderr, "or restore without holding: --live; visitors may then see a mixture") {
			t.Errorf("a restore (%s) without a gate: exit code %d, %s", flag, code, stderr)
		}
	}
	stdout, stderr, code := g.run("-e", "master", "snapshot", "restore", "--live", "--yes")
	if code != 0 || !strings.Contains(stderr, "Requests are not held (--live): visitors may see a mixture") || !strings.Contains(stdout, "To undo: ") {
		t.Errorf("a restore that does without the gate: exit code %d, %s%s", code, stdout, stderr)
	}
	cmd := g.gate("master")
	if stdout := g.ok("-e", "master", "gate", "status"); !strings.HasPrefix(stdout, "The gate is open\n") {
		t.Errorf("status says %s", stdout)
	}
	// A second holder is told who is first; by force he gets it.
	hold, err := quiesce.Client(g.path("master.sock")).Hold(t.Context(), quiesce.Request{Mode: quiesce.Mark, Holder: "the test"})
	g.must(err)
	if _, stderr, code := g.run("-e", "master", "snapshot", "create"); code != int(exitBusy) || !strings.Contains(stderr, "the test") {
		t.Errorf("while held: exit code %d, %s", code, stderr)
	}
	if stdout := g.ok("-e", "master", "gate", "release"); stdout != "Released what the test held\n" {
		t.Errorf("release says %s", stdout)
	}
	<-hold.Lost()
	hold.Abandon()
	if stdout := g.ok("-e", "master", "gate", "release"); stdout != "Nothing was held\n" {
		t.Errorf("release says %s", stdout)
	}
	// Who releases what a restore holds is told that it may be half done.
	hold, err = quiesce.Client(g.path("master.sock")).Hold(t.Context(), quiesce.Request{Mode: quiesce.Swap, Holder: "a restore"})
	g.must(err)
	if stdout, stderr, code := g.run("-e", "master", "gate", "release"); code != 0 || stdout != "Released what a restore held\n" ||
		!strings.Contains(stderr, `warning: a restore was about to swap`) || !strings.Contains(stderr, `"holdfast -e master snapshot recover"`) {
		t.Errorf("release amid a swap: exit code %d, %s%s", code, stdout, stderr)
	}
	<-hold.Lost()
	hold.Abandon()
	// A second gate on the same socket is refused.
	if _, stderr, code := g.run("gate", "--listen", "127.0.0.1:0", "--upstream", g.apps["master"].URL, "--control", "unix:"+g.path("master.sock")); code != 1 || !strings.Contains(stderr, "another gate listens") {
		t.Errorf("a second gate: exit code %d, %s", code, stderr)
	}
	g.must(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("the gate ended with %v", err)
	}
}

// A request that runs on fails the snapshot, which names it, or makes it a live one.
func TestARequestThatRunsOnAndASnapshot(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 5)
	blocked := make(chan struct{})
	entered := make(chan struct{})
	g.apps["master"] = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-blocked
	}))
	t.Cleanup(g.apps["master"].Close)
	g.gate("master", "--drain", "200ms")
	var visitor sync.WaitGroup
	visitor.Go(func() {
		if response, err := http.Post(g.urls["master"]+"/import", "text/plain", nil); err == nil {
			response.Body.Close()
		}
	})
	<-entered
	_, stderr, code := g.run("-e", "master", "snapshot", "create")
	if code != 1 || !strings.Contains(stderr, "POST /import") || !strings.Contains(stderr, "--on-timeout live") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	g.ok("-e", "master", "snapshot", "create", "--on-timeout", "live")
	stdout := g.ok("-e", "master", "snapshot", "show", "latest")
	if !strings.Contains(stdout, "Consistency   live;") || !strings.Contains(stdout, "POST /import") {
		t.Errorf("show says\n%s", stdout)
	}
	close(blocked)
	visitor.Wait()
}

// worker starts a process that can be frozen; stands reports whether it is.
func (g *gated) worker() (pidFile string, stands func() bool) {
	g.t.Helper()
	worker := exec.Command("sleep", "1000")
	g.must(worker.Start())
	g.t.Cleanup(func() {
		_ = worker.Process.Kill() // it is ours
		_ = worker.Wait()
	})
	g.write("worker.pid", fmt.Append(nil, worker.Process.Pid))
	return g.path("worker.pid"), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", worker.Process.Pid))
		g.must(err)
		return strings.Contains(string(stat), ") T ")
	}
}

// A gate that is killed while it holds leaves a worker frozen; the next one thaws
// it, and its holder has been told.
func TestAKilledGateLeavesNothingFrozen(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 5)
	pidFile, stands := g.worker()
	gate := g.gate("master", "--freeze", "pid:"+pidFile)
	hold, err := quiesce.Client(g.path("master.sock")).Hold(t.Context(), quiesce.Request{Mode: quiesce.Mark, Holder: "the test"})
	g.must(err)
	if !stands() {
		t.Error("the worker is not frozen")
	}
	if status := g.ok("-e", "master", "gate", "status"); !strings.Contains(status, "Frozen: process ") {
		t.Errorf("the status says %s", status)
	}
	g.must(gate.Process.Kill())
	_ = gate.Wait()
	<-hold.Lost()
	hold.Abandon()
	if !stands() {
		t.Error("the worker was thawed, though the gate was killed: the test does not test what it says")
	}
	g.gate("master", "--freeze", "pid:"+pidFile)
	g.becomes("master", isOpen)
	if stands() {
		t.Error("the worker still stands")
	}
	var s struct {
		Gate struct {
			Frozen []string `json:"frozen"`
		} `json:"gate"`
	}
	g.must(json.Unmarshal([]byte(g.ok("-e", "master", "--json", "snapshot", "create")), &s))
	if len(s.Gate.Frozen) != 1 || stands() {
		t.Errorf("the snapshot says that %q were frozen; the worker stands: %v", s.Gate.Frozen, stands())
	}
}
