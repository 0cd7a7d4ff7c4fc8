package testserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// Mute listens on a free port as a server does that is stopped, or whose disk
// hangs: connections are taken, and nothing is ever said. It returns the address in
// a form such as "redis://%s/0".
func Mute(tb testing.TB, form string) *url.URL {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	u, err := url.Parse(fmt.Sprintf(form, listener.Addr())) // the kernel takes connections by itself
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// StopsAt returns how to connect to a server that stops, for all connections, once it is
// sent what has when in it; and a context that ends a moment later, as that of an operation
// does which is interrupted then.
func StopsAt(ctx context.Context, when string) (dial func(ctx context.Context, network, address string) (net.Conn, error), interrupted context.Context) {
	stopped, stop := context.WithCancel(ctx)
	interrupted, cancel := context.WithCancel(ctx)
	context.AfterFunc(stopped, func() { time.AfterFunc(100*time.Millisecond, cancel) })
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return muting{conn, when, stopped, stop}, err
	}, interrupted
}

type muting struct {
	net.Conn
	when    string
	stopped context.Context
	stop    context.CancelFunc
}

func (m muting) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(m.when)) {
		m.stop()
	}
	if m.stopped.Err() != nil {
		return len(p), nil // the kernel takes it, and nobody reads
	}
	return m.Conn.Write(p)
}
