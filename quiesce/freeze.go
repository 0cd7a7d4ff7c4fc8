package quiesce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Freezable is something that writes without coming through the gate: a cgroup of
// workers, or a process.
type Freezable struct {
	Cgroup  string // a directory of a cgroup v2 file system
	PIDFile string // or a file that holds a process's id
}

// ParseFreezable reads cgroup:PATH or pid:PATH.
func ParseFreezable(text string) (Freezable, error) {
	kind, path, _ := strings.Cut(text, ":")
	switch {
	case !strings.HasPrefix(path, "/"):
	case kind == "cgroup":
		return Freezable{Cgroup: path}, nil
	case kind == "pid":
		return Freezable{PIDFile: path}, nil
	}
	return Freezable{}, fmt.Errorf("%q is nothing that can be frozen; expected cgroup:/PATH or pid:/PATH", text)
}

// Frozen is what a Freezable was found to be, as the Record keeps it.
type Frozen struct {
	Cgroup string `json:"cgroup,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Start  uint64 `json:"start,omitempty"` // of the process, in clock ticks after the machine's
}

// String names it for people.
func (f Frozen) String() string {
	if f.Cgroup != "" {
		return "cgroup " + f.Cgroup
	}
	return "process " + strconv.Itoa(f.PID)
}

func namesOf(frozen []Frozen) (names []string) {
	for _, f := range frozen {
		names = append(names, f.String())
	}
	return names
}

// find looks at what is to be frozen, and refuses what must not be. It changes
// nothing. What is frozen already, by somebody else, is none of ours: it comes back
// with ok false.
func (f Freezable) find(holder int) (found Frozen, ok bool, err error) {
	if f.Cgroup != "" {
		return findCgroup(f.Cgroup, holder)
	}
	return findProcess(f.PIDFile, holder)
}

func (f Frozen) freeze(ctx context.Context) error {
	if f.Cgroup != "" {
		return freezeCgroup(ctx, f.Cgroup)
	}
	return stopProcess(ctx, f)
}

// thaw undoes freeze, also one that never began.
func (f Frozen) thaw() error {
	if f.Cgroup != "" {
		return thawCgroup(f.Cgroup)
	}
	return continueProcess(f)
}

// freeze runs the hooks, and freezes all of k.Freeze. It is written down before it
// is done, so that it can be undone by whoever comes after; l.end undoes it.
func (k *Keeper) freeze(ctx context.Context, l *Lease) error {
	l.hooked = len(k.Hooks.Before) > 0 || len(k.Hooks.After) > 0
	if l.request.Mode == Swap || l.hooked || len(k.Freeze) > 0 {
		if err := k.writeDown(l); err != nil {
			return err
		}
	}
	if err := k.Hooks.before(ctx); err != nil {
		return err
	}
	for _, f := range k.Freeze {
		found, ok, err := f.find(l.request.PID)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		before := l.frozen
		k.setFrozen(l, append(before, found))
		if err := k.writeDown(l); err != nil {
			k.setFrozen(l, before)
			return err
		}
		if err := found.freeze(ctx); err != nil {
			return fmt.Errorf("freeze %s: %w", found, err)
		}
	}
	return nil
}

func (k *Keeper) setFrozen(l *Lease, frozen []Frozen) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.frozen = frozen
}

func (k *Keeper) writeDown(l *Lease) error {
	return k.Record.store(record{Mode: l.request.Mode, Holder: l.request.Holder, Frozen: l.frozen, Hooked: l.hooked})
}

// thaw thaws, last frozen first, runs the hooks, and says what went wrong. What
// could not be thawed stays written down. It does not return before it had the files
// that it needs: else what stands would stand for good.
func (k *Keeper) thaw(frozen []Frozen, hooked bool) (trouble []string) {
	var still []Frozen
	for i := len(frozen) - 1; i >= 0; i-- {
		if err := onceThereAreFiles(context.Background(), frozen[i].thaw); err != nil {
			still = append(still, frozen[i])
			trouble = append(trouble, fmt.Sprintf("thaw %s: %v", frozen[i], err))
		}
	}
	if hooked {
		trouble = append(trouble, k.Hooks.after()...)
	}
	err := onceThereAreFiles(context.Background(), func() error {
		if len(still) > 0 {
			return k.Record.store(record{Mode: Mark, Frozen: still})
		}
		return k.Record.remove()
	})
	if err != nil {
		trouble = append(trouble, err.Error())
	}
	for _, t := range trouble {
		k.logf("%s", t)
	}
	return trouble
}

// until asks done again and again, ever less often, for as long as ctx lasts.
func until(ctx context.Context, done func() (bool, error)) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.New("it did not stop in time")
		}
	}
}

// isUs reports whether a process must not be frozen: without it nobody thaws.
func isUs(pid, holder int) bool {
	return pid == os.Getpid() || pid == 1 || holder != 0 && pid == holder
}
