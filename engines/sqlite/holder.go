package sqlite

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// holder describes who holds locks on the database, for the error of somebody who
// waited for them in vain: writers if there are any, else readers.
func holder(path string) string {
	var inodes []uint64
	for _, suffix := range []string{"", "-shm"} {
		if info, err := os.Stat(path + suffix); err == nil {
			inodes = append(inodes, info.Sys().(*syscall.Stat_t).Ino)
		}
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return "another process"
	}
	defer locks.Close()
	writers, readers := lockHolders(locks, inodes)
	pids, what := writers, "has been writing"
	if len(pids) == 0 {
		pids, what = readers, "has been reading"
	}
	var names []string
	for _, pid := range pids {
		names = append(names, fmt.Sprintf("process %d%s", pid, command(pid)))
	}
	if len(names) == 0 {
		return "another process"
	}
	return strings.Join(names, ", ") + ", which " + what + " all the time"
}

// lockHolders reads /proc/locks: which other processes hold write and read locks
// on inodes.
// Lines that look otherwise than expected are passed over.
func lockHolders(locks io.Reader, inodes []uint64) (writers, readers []int) {
	lines := bufio.NewScanner(locks)
	for lines.Scan() {
		// 1: POSIX  ADVISORY  WRITE 3711 08:02:3148021 1073741825 1073741825
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "POSIX" {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		if err != nil || pid <= 0 || pid == os.Getpid() { // 0: in another container
			continue
		}
		inode, err := strconv.ParseUint(f[5][strings.LastIndexByte(f[5], ':')+1:], 10, 64)
		if err != nil || !slices.Contains(inodes, inode) {
			continue
		}
		list := &readers
		if f[3] == "WRITE" {
			list = &writers
		}
		if !slices.Contains(*list, pid) {
			*list = append(*list, pid)
		}
	}
	return writers, readers
}

// command returns the name of a process in brackets, if it can be found out.
func command(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return " (" + strings.TrimSpace(string(name)) + ")"
}
