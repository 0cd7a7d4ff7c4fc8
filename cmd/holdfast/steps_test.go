package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"holdfast/quiesce"
)

// steps kills the holder of a hold, or its gate, at one step after the other.
type steps struct {
	*gated
	environment string // whose gate it is
	victim      string // "holder" or "gate"
	config      string // by which the holder comes

	mu     sync.Mutex
	kill   string // the step at which to kill; "" once that was done
	holder *exec.Cmd
	gateAt *exec.Cmd
	block  chan struct{} // closed: slow requests are answered
	flags  []string      // of the gate
}

// at is called at every step.
func (s *steps) at(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step == "" || step != s.kill {
		return
	}
	s.kill = ""
	if step == "draining" {
		s.becomes(s.environment, func(now quiesce.Status) bool { return now.State == quiesce.Draining })
	}
	if s.victim == "gate" {
		s.must(s.gateAt.Process.Kill())
		_ = s.gateAt.Wait() // it was killed
	} else {
		s.must(syscall.Kill(-s.holder.Process.Pid, syscall.SIGKILL))
	}
	if step == "draining" {
		close(s.block)
	}
}

// die runs the holder until it has ended, with the victim killed at step.
func (s *steps) die(step string, args ...string) (stderr string, code int) {
	s.t.Helper()
	s.mu.Lock()
	s.kill, s.block = step, make(chan struct{})
	var text strings.Builder
	s.holder = s.command(append([]string{"--config", s.config}, args...)...)
	s.holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.holder.Stderr = &text
	var slow sync.WaitGroup
	if step == "draining" {
		slow.Go(func() { // how it is answered by a gate that is killed, nobody knows
			if response, err := http.Post(s.urls[s.environment]+"/slow", "text/plain", nil); err == nil {
				response.Body.Close()
			}
		})
		s.becomes(s.environment, func(now quiesce.Status) bool { return now.Running > 0 })
	}
	s.must(s.holder.Start())
	s.mu.Unlock()
	_ = s.holder.Wait() // the code says how
	slow.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kill != "" {
		s.t.Fatalf("the step %s never came: %s", step, text.String())
	}
	return text.String(), s.holder.ProcessState.ExitCode()
}

// newSteps makes a site with a gate that freezes a worker.
func newSteps(t *testing.T, environment, victim string) (s *steps, frozen func() bool) {
	t.Helper()
	g := newGated(t)
	s = &steps{gated: g, environment: environment, victim: victim}
	s.config = g.between(environment, s.at)
	app := g.apps[environment].Config.Handler
	g.apps[environment] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			s.mu.Lock()
			block := s.block
			s.mu.Unlock()
			<-block
			return
		}
		app.ServeHTTP(w, r)
	}))
	t.Cleanup(g.apps[environment].Close)
	worker, frozen := g.worker()
	s.flags = []string{"--freeze", "pid:" + worker}
	s.gateAt = g.gate(environment, s.flags...)
	return s, frozen
}

// Whoever is killed at whatever step of a snapshot's hold: visitors go on, no worker
// stays frozen, and there is a snapshot only where create said so.
func TestKilledAtEveryStep(t *testing.T) {
	for _, victim := range []string{"holder", "gate"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			s, frozen := newSteps(t, "master", victim)
			s.begin("master", 20)
			v := s.visit("master", http.MethodPost, 2)
			published := 0
			for _, step := range holdSteps {
				stderr, code := s.die(step, "-e", "master", "snapshot", "create")
				if victim == "gate" {
					if code != 0 && !strings.Contains(stderr, "gate") {
						t.Errorf("%s: exit code %d, and nothing about the gate: %s", step, code, stderr)
					}
					s.gateAt = s.gate("master", s.flags...)
				}
				if code == 0 {
					published++
				}
				s.becomes("master", isOpen)
				if frozen() {
					t.Errorf("%s: the worker still stands", step)
				}
				var listed []struct{ Name string }
				s.must(json.Unmarshal([]byte(s.ok("-e", "master", "--json", "snapshot", "list")), &listed))
				if len(listed) != published && (victim == "gate" || step != "sending") {
					t.Errorf("%s: exit code %d; of %d published snapshots %d are listed: %s", step, code, published, len(listed), stderr)
				}
				published = len(listed)
				if consistency, shown := s.consistencyOf("master"); consistency != "one-instant" {
					t.Errorf("%s: the next snapshot is\n%s", step, shown)
				}
				published++
			}
			v.stop()
			if victim == "holder" {
				v.onlyOK(t)
			}
			for code := range v.answers {
				if code >= 500 && code != http.StatusBadGateway {
					t.Errorf("visitors were answered %v, %.200q", v.answers, v.bodies)
				}
			}
			if rows, files := s.consistent("master"); rows != files {
				t.Errorf("in the end there are %d rows and %d files", rows, files)
			}
		})
	}
}

// The same for a restore's: the environment is whole, as before or as restored.
func TestRestoreKilledAtEveryStep(t *testing.T) {
	for _, victim := range []string{"holder", "gate"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			s, frozen := newSteps(t, "staging", victim)
			s.begin("master", 30)
			s.begin("staging", 10)
			s.gate("master")
			name := s.create()
			for _, step := range holdSteps {
				s.begin("staging", 10)
				v := s.visit("staging", http.MethodGet, 2)
				stderr, _ := s.die(step, "-e", "master", "snapshot", "restore", name, "--target", "staging", "--yes", "--no-safety-snapshot")
				if victim == "gate" {
					s.gateAt = s.gate("staging", s.flags...)
				}
				s.becomes("staging", isOpen)
				if frozen() {
					t.Errorf("%s: the worker still stands", step)
				}
				if _, stderr, code := s.run("-e", "staging", "snapshot", "recover"); code != 0 {
					t.Errorf("%s: recover: exit code %d, %s", step, code, stderr)
				}
				v.stop()
				for _, body := range v.bodies {
					t.Errorf("%s: a visitor was told %s", step, body)
				}
				if rows, files := s.consistent("staging"); rows != files || rows != 10 && rows != 30 {
					t.Errorf("%s: there are %d rows and %d files: %s", step, rows, files, stderr)
				}
			}
		})
	}
}
