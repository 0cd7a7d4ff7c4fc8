package quiesce

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstInherited is the descriptor at which systemd begins to hand on sockets.
const firstInherited = 3

// maxInherited bounds how many sockets are taken over.
const maxInherited = 64

// Inherited returns the listening sockets that systemd hands on to this process
// (sd_listen_fds(3)); none where it does not. lookup is os.LookupEnv.
func Inherited(lookup func(string) (string, bool)) ([]net.Listener, error) {
	pid, _ := lookup("LISTEN_PID")
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	text, _ := lookup("LISTEN_FDS")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS is %q; expected a number up to %d", text, maxInherited)
	}
	var listeners []net.Listener
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		unix.CloseOnExec(fd) // not for the children's eyes
		file := os.NewFile(uintptr(fd), "inherited socket "+strconv.Itoa(fd))
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("take over the socket %d: %w", fd, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}
