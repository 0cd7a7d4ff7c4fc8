package quiesce

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// DefaultHookTime bounds one hook where nothing else is said.
const DefaultHookTime = 2 * time.Second

// Hooks are commands for /bin/sh, run while requests are held.
type Hooks struct {
	Before []string // in this order, before anything is frozen; one that fails ends the hold
	After  []string // once it is thawed; all of them, whatever happened
	Time   time.Duration
}

func (h Hooks) before(ctx context.Context) error {
	for _, command := range h.Before {
		if err := h.run(ctx, command); err != nil {
			return fmt.Errorf("--before %q: %w", command, err)
		}
	}
	return nil
}

func (h Hooks) after() (trouble []string) {
	for _, command := range h.After {
		err := onceThereAreFiles(context.Background(), func() error { return h.run(context.Background(), command) })
		if err != nil {
			trouble = append(trouble, fmt.Sprintf("--after %q: %v", command, err))
		}
	}
	return trouble
}

func (h Hooks) run(ctx context.Context, command string) error {
	limit := h.Time
	if limit <= 0 {
		limit = DefaultHookTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := RunCommand(ctx, command)
	return err
}

// errorOutput is how much of what a command writes is told, in bytes.
const errorOutput = 4 << 10

// ending keeps the end of what is written to it.
type ending []byte

func (e *ending) Write(p []byte) (int, error) {
	*e = append(*e, p...)
	if extra := len(*e) - errorOutput; extra > 0 {
		*e = append((*e)[:0], (*e)[extra:]...)
	}
	return len(p), nil
}

// RunCommand runs a command by /bin/sh, and kills it with all that it has started
// when ctx ends. It returns the end of what that wrote, which an error holds too. An
// *exec.ExitError says with what it ended.
func RunCommand(ctx context.Context, command string) (said string, err error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 100 * time.Millisecond // for those that keep its output open
	var output ending
	c.Stdout, c.Stderr = &output, &output
	err = c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has done its work, and left somebody running
	}
	said = strings.TrimSpace(string(output))
	if err == nil {
		return said, nil
	}
	if ctx.Err() != nil {
		err = errors.Join(errors.New("it took too long"), ctx.Err())
	}
	if said == "" {
		return said, err
	}
	return said, fmt.Errorf("%w: %s", err, said)
}
