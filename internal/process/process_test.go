package process

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestThis(t *testing.T) {
	p, err := This()
	if err != nil {
		t.Fatal(err)
	}
	if p.Host == "" || p.PID != os.Getpid() || p.Started == 0 || p.Boot == "" {
		t.Errorf("this process is %+v", p)
	}
	if q, err := This(); err != nil || p != q {
		t.Errorf("asked again: %+v, %v", q, err)
	}
}

func TestGone(t *testing.T) {
	self := here(t)
	ended := dead(t)
	change := func(p Process, change func(*Process)) Process {
		change(&p)
		return p
	}
	parent := self
	parent.PID = os.Getppid()
	if _, started, err := stat(parent.PID); err != nil {
		t.Fatal(err)
	} else {
		parent.Started = started
	}
	for name, c := range map[string]struct {
		process Process
		want    bool
	}{
		"itself":                      {self, false},
		"another that lives":          {parent, false},
		"one that ended":              {ended, true},
		"its number was used again":   {change(self, func(p *Process) { p.Started-- }), true},
		"of another machine":          {change(ended, func(p *Process) { p.Host += "2" }), false},
		"of another boot":             {change(ended, func(p *Process) { p.Boot = "x" + p.Boot }), false},
		"of another namespace":        {change(ended, func(p *Process) { p.Boot += "x" }), false},
		"where the system tells none": {change(ended, func(p *Process) { p.Boot = "" }), false},
	} {
		if got := self.Gone(c.process); got != c.want {
			t.Errorf("%s: gone is %v", name, got)
		}
	}
}

// A process that ended and was not waited for is there, but does nothing any more.
func TestZombieIsGone(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
	self := here(t)
	p := self
	p.PID = cmd.Process.Pid
	state := byte(0)
	for state != 'Z' {
		if state, p.Started, err = stat(p.PID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if !self.Gone(p) {
		t.Error("a zombie counts as running")
	}
}

func here(t *testing.T) Process {
	t.Helper()
	p, err := This()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dead returns a process of this machine that has ended.
func dead(t *testing.T) Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	p := here(t)
	p.PID = cmd.Process.Pid
	return p
}
