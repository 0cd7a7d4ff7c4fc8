package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ticks are the units in which Linux tells processor time, a second of them.
const ticks = 100

// cpu is the processor time that the server has taken so far, in seconds: its own,
// that of the processes which it has started, and of those that have ended.
func (s *server) cpu() (float64, error) {
	pid := strconv.Itoa(s.process.Process.Pid)
	own, _, err := processor(pid, 4)
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		used, parent, err := processor(filepath.Base(path), 2)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // it has ended meanwhile
		case err != nil:
			return 0, err
		case parent == pid:
			own += used
		}
	}
	return float64(own) / ticks, nil
}

// processor reads a process's user and system time, and with four fields also that of
// its children that have ended (proc(5), stat, fields 14 to 17), and its parent.
func processor(pid string, fields int) (used int64, parent string, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, "", err
	}
	_, rest, _ := strings.Cut(string(text[max(0, strings.LastIndex(string(text), ")")):]), " ") // its name may have blanks
	all := strings.Fields(rest)
	if len(all) < 15 {
		return 0, "", fmt.Errorf("/proc/%s/stat: %d fields only", pid, len(all))
	}
	for _, field := range all[11 : 11+fields] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, "", fmt.Errorf("/proc/%s/stat: %w", pid, err)
		}
		used += n
	}
	return used, all[1], nil
}
