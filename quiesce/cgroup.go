package quiesce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// findCgroup refuses a directory that is no cgroup v2 which can be frozen, and one
// that holds us or the holder, at any depth.
func findCgroup(path string, holder int) (Frozen, bool, error) {
	state, err := os.ReadFile(filepath.Join(path, "cgroup.freeze"))
	if err != nil {
		return Frozen{}, false, fmt.Errorf("%s is no cgroup v2 that can be frozen: %w", path, err)
	}
	err = filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return refuseUs(at, holder)
	})
	if err != nil {
		return Frozen{}, false, err
	}
	return Frozen{Cgroup: path}, strings.TrimSpace(string(state)) == "0", nil
}

func refuseUs(cgroup string, holder int) error {
	f, err := os.Open(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if pid, err := strconv.Atoi(lines.Text()); err == nil && isUs(pid, holder) {
			return fmt.Errorf("%s holds the process %d, without which nobody would thaw it; give the workers a cgroup of their own", cgroup, pid)
		}
	}
	return lines.Err()
}

func freezeCgroup(ctx context.Context, path string) error {
	if err := writeFreeze(path, "1"); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		events, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
		return strings.Contains(string(events), "frozen 1"), err
	})
}

// thawCgroup thaws a cgroup; one that is gone has nothing to be thawed.
func thawCgroup(path string) error {
	if err := writeFreeze(path, "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func writeFreeze(path, state string) error {
	f, err := os.OpenFile(filepath.Join(path, "cgroup.freeze"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(state)
	return errors.Join(err, f.Close())
}
