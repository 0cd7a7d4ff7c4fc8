package files

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mappedFiles returns the files of the device that some process has mapped to be
// written through, by path. It sees the processes that /proc shows and lets us
// look into: for us as root all of this machine, or of our container.
func mappedFiles(proc string, device uint64) ([]string, error) {
	processes, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "maps"))
	if err != nil {
		return nil, err
	}
	id := fmt.Appendf(nil, "%02x:%02x", unix.Major(device), unix.Minor(device))
	seen := map[string]bool{}
	for _, maps := range processes {
		if err := mappedBy(maps, id, seen); err != nil {
			return nil, err
		}
	}
	var paths []string
	for p := range seen {
		paths = append(paths, p)
	}
	return paths, nil
}

// mappedBy reads one process's maps: address perms offset dev inode path
// (proc_pid_maps(5)).
func mappedBy(maps string, device []byte, seen map[string]bool) error {
	f, err := os.Open(maps)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ESRCH) {
		return nil // it has ended, or is none of ours to look into
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<16)
	for lines.Scan() {
		fields := bytes.SplitN(lines.Bytes(), []byte(" "), 6)
		if len(fields) < 6 || !bytes.Equal(fields[3], device) || string(fields[1][1:2]) != "w" || string(fields[1][3:4]) != "s" {
			continue
		}
		// A line feed in a name is written \012, the only escape.
		name := strings.ReplaceAll(strings.TrimLeft(string(fields[5]), " "), `\012`, "\n")
		if !strings.HasSuffix(name, " (deleted)") {
			seen[name] = true
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("read %s: %w", maps, err)
	}
	return nil
}
