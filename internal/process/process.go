// Package process tells whether a process that has left its name in a repository is
// still running.
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Process is one process on one machine.
type Process struct {
	Host string `cbor:"1,keyasint" json:"host"`
	PID  int    `cbor:"2,keyasint" json:"pid"`
	// Started is when it was started, in the kernel's ticks since the boot: numbers
	// of processes are used again, the two together are not.
	Started uint64 `cbor:"3,keyasint,omitempty" json:"-"`
	// Boot names the one run of one kernel, and in it the namespace, in which PID
	// counts; "" where the system does not tell.
	Boot string `cbor:"4,keyasint,omitempty" json:"-"`
}

// This returns the running process.
func This() (Process, error) {
	host, err := os.Hostname()
	if err != nil {
		return Process{}, fmt.Errorf("this machine's name: %w", err)
	}
	p := Process{Host: host, PID: os.Getpid()}
	boot, bootError := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, namespaceError := os.Readlink("/proc/self/ns/pid")
	_, started, statError := stat(p.PID)
	if errors.Join(bootError, namespaceError, statError) == nil {
		p.Started, p.Boot = started, strings.TrimSpace(string(boot))+" "+namespace
	}
	return p, nil
}

// sees reports whether observer can tell if p is running: both count processes in the
// same table. The name of the host is compared too, because the boot id of a
// virtual machine is copied with its memory.
func (observer Process) sees(p Process) bool {
	return p.Boot != "" && p.Boot == observer.Boot && p.Host == observer.Host
}

// Gone reports that p has certainly ended; false where observer cannot tell.
func (observer Process) Gone(p Process) bool {
	if !observer.sees(p) {
		return false
	}
	if err := syscall.Kill(p.PID, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	// /proc may be hidden from other users; then the process counts as running.
	state, started, err := stat(p.PID)
	return err == nil && (started != p.Started || state == 'Z' || state == 'X')
}

// stat returns a process's state and start from /proc/PID/stat. The second
// field is a name in parentheses, which may contain anything.
func stat(pid int) (state byte, started uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const stateField, startedField = 0, 19 // proc(5) calls them 3 and 22
	if len(fields) <= startedField {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	started, err = strconv.ParseUint(fields[startedField], 10, 64)
	return fields[stateField][0], started, err
}
