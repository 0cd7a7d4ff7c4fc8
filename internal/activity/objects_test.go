package activity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/process"
)

// memory is Objects in memory, shared by all the machines of a test.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	creates int
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) Create(ctx context.Context, name string, data []byte) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.creates++
	if _, ok := m.objects[name]; ok {
		return fmt.Errorf("create %s: %w", name, fs.ErrExist)
	}
	m.objects[name] = bytes.Clone(data)
	return nil
}

func (m *memory) Read(ctx context.Context, name string) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	return bytes.Clone(data), nil
}

func (m *memory) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := context.Cause(ctx); err != nil {
			yield("", err)
			return
		}
		for _, name := range m.names() {
			if strings.HasPrefix(name, prefix+"/") && !yield(name, nil) {
				return
			}
		}
	}
}

func (m *memory) Remove(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// written is how many objects were created, or tried to.
func (m *memory) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.creates
}

func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// asleep is the way to the objects of a machine that can be put to sleep with a
// request on its lips: it is made after waking up, whatever time it is then.
type asleep struct {
	*memory
	mu    sync.Mutex
	awake chan struct{} // nil while it is awake
}

func (a *asleep) sleep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.awake = make(chan struct{})
}

func (a *asleep) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.awake)
	a.awake = nil
}

func (a *asleep) Create(ctx context.Context, name string, data []byte) error {
	a.mu.Lock()
	awake := a.awake
	a.mu.Unlock()
	if awake != nil {
		<-awake
	}
	return a.memory.Create(context.WithoutCancel(ctx), name, data)
}

// link is one machine's way to the objects. around is called for every
// operation and has it done with do, or not.
type link struct {
	*memory
	around func(ctx context.Context, op string, do func() error) error
}

func (l *link) Create(ctx context.Context, name string, data []byte) error {
	return l.around(ctx, "create", func() error { return l.memory.Create(ctx, name, data) })
}

func (l *link) Read(ctx context.Context, name string) (data []byte, err error) {
	err = l.around(ctx, "read", func() error { data, err = l.memory.Read(ctx, name); return err })
	return data, err
}

func (l *link) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := l.around(ctx, "list", func() error { return nil }); err != nil {
			yield("", err)
			return
		}
		l.memory.List(ctx, prefix)(yield)
	}
}

func (l *link) Remove(ctx context.Context, name string) error {
	return l.around(ctx, "remove", func() error { return l.memory.Remove(ctx, name) })
}

var errDead = errors.New("this process has been killed")

// mortal is a process that is killed at its n-th operation, before or after that
// is done.
type mortal struct {
	*link
	mu    sync.Mutex
	total int
	dead  bool
}

func dying(m *memory, n int, after bool) *mortal {
	d := &mortal{}
	d.link = &link{m, func(_ context.Context, _ string, do func() error) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.total++; d.total < n {
			return do()
		}
		if d.total == n && after {
			_ = do()
		}
		d.dead = true
		return errDead
	}}
	return d
}

const place = "0123456789abcdef0123"

var activities = []string{"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc"}

// on returns an operation on another machine, of which nothing can be seen.
func on(host string) Holder {
	return Holder{Activity: activities[len(host)%3], Kind: Create, Process: process.Process{Host: host, PID: 4711, Started: 1, Boot: host}}
}

// here returns an operation of this process.
func here(t *testing.T) Holder {
	t.Helper()
	h, err := NewHolder(activities[0], Restore)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// dead returns an operation of a process of this machine that has ended.
func dead(t *testing.T) Holder {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	h := here(t)
	h.Activity, h.Process.PID = activities[1], cmd.Process.Pid
	return h
}

// off returns a clock that is wrong by d.
func off(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}
