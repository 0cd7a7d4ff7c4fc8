package quiesce

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who is at the other end of a Unix socket.
func peerOf(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return peer, errors.Join(controlErr, err)
}

// mayControl reports whether a client may hold requests: root, our own user, and
// members of group; a group below 0 has none.
func mayControl(peer *unix.Ucred, self, group int) bool {
	if peer.Uid == 0 || int(peer.Uid) == self {
		return true
	}
	if group < 0 {
		return false
	}
	if int(peer.Gid) == group {
		return true
	}
	u, err := user.LookupId(strconv.Itoa(int(peer.Uid)))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.Itoa(group))
}

// checkGate refuses a socket that somebody else may have put in the gate's place:
// whoever serves it must be root, ourselves, or the owner of its directory.
func checkGate(peer *unix.Ucred, self int, path string) error {
	if peer.Uid == 0 || int(peer.Uid) == self {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == peer.Uid {
		return nil
	}
	return fmt.Errorf("the socket %s is served by user %d, who is neither root nor the owner of its directory: it may not be the gate", path, peer.Uid)
}
