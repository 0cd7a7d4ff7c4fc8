package testserver

import (
	"net"
	"testing"
)

// Mute listens on a free port as a server does that is stopped, or whose disk
// hangs: connections are taken, and nothing is ever said. It returns host:port.
func Mute(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	return listener.Addr().String() // the kernel takes connections by itself
}
