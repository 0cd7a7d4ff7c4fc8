package quiesce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// findProcess reads a pid file. A process that is stopped already is left to whoever
// stopped it.
func findProcess(file string, holder int) (Frozen, bool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Frozen{}, false, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return Frozen{}, false, fmt.Errorf("%s holds no process's id", file)
	}
	if isUs(pid, holder) {
		return Frozen{}, false, fmt.Errorf("%s names the process %d, without which nobody would thaw it", file, pid)
	}
	state, start, err := statProcess(pid)
	if err != nil {
		return Frozen{}, false, fmt.Errorf("%s names the process %d: %w", file, pid, err)
	}
	return Frozen{PID: pid, Start: start}, state != stopped, nil
}

// States of a process (proc_pid_stat(5)). One of the last two does nothing any more, and
// only waits to be forgotten.
const (
	stopped = 'T'
	zombie  = 'Z'
	dead    = 'X'
)

// statProcess returns a process's state and start from /proc/PID/stat.
func statProcess(pid int) (state byte, start uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, 0, errGone
	}
	if err != nil {
		return 0, 0, err
	}
	state, start, err = parseStat(string(text))
	if err == nil && (state == zombie || state == dead) {
		return 0, 0, errGone
	}
	return state, start, err
}

// parseStat takes the third field, and the 22nd. The second, a name in
// parentheses, may hold anything, these too.
func parseStat(text string) (state byte, start uint64, err error) {
	_, rest, _ := cutLast(text, ")")
	fields := strings.Fields(rest)
	if len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, errors.New("its state cannot be read")
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0][0], start, err
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

func stopProcess(ctx context.Context, f Frozen) error {
	if err := f.signal(unix.SIGSTOP); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		state, start, err := statProcess(f.PID)
		return state == stopped && start == f.Start, err
	})
}

// continueProcess wakes the process; one that is gone needs no waking.
func continueProcess(f Frozen) error {
	if err := f.signal(unix.SIGCONT); err != nil && !errors.Is(err, errGone) {
		return err
	}
	return nil
}

var errGone = errors.New("there is no such process")

// signal reaches the process itself, never another that has got its number: once
// there is a descriptor of it, its start time can be compared in peace.
func (f Frozen) signal(s unix.Signal) error {
	fd, err := unix.PidfdOpen(f.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("open the process %d: %w", f.PID, err)
	}
	defer unix.Close(fd)
	_, start, err := statProcess(f.PID)
	if err == nil && start != f.Start {
		err = errGone
	}
	if err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send a signal to the process %d: %w", f.PID, err)
	}
	return nil
}
