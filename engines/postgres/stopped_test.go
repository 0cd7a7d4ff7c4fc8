package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// muting is a connection to a server that stops, with all others, when it is sent what is in when.
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

// A server that stops must not keep a restore that was interrupted, and is to be taken back.
func TestAServerThatStopsInARestoreIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	memory, result := s.capture()
	target := s.target("postgres", "shop")
	stopped, stop := context.WithCancel(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	context.AfterFunc(stopped, func() { time.AfterFunc(100*time.Millisecond, cancel) })
	target.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return muting{conn, "COPY ", stopped, stop}, err
	}
	if _, err := target.Stage(ctx, result.Entries, memory); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	target.answer = time.Second
	discarded := make(chan error, 1)
	go func() { discarded <- target.Discard(context.Background()) }()
	select {
	case err := <-discarded:
		if err == nil || !strings.Contains(err.Error(), "has not answered in 1s") {
			t.Errorf("it says: %v", err)
		}
	case <-time.After(20 * time.Second):
		s.server.Kill() // else what it uses could not be closed either
		t.Fatal("it is waited for")
	}
}
