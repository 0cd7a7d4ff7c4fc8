package mysql

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/engines/enginetest"
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

// stopsAt lets the server of place stop at when, and returns a context that ends a moment later.
func (s shop) stopsAt(p place, when string) context.Context {
	stopped, stop := context.WithCancel(s.Context())
	p.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return muting{conn, when, stopped, stop}, err
	}
	ctx, cancel := context.WithCancel(s.Context())
	context.AfterFunc(stopped, func() { time.AfterFunc(100*time.Millisecond, cancel) })
	return ctx
}

// givenUp fails unless f ends in some seconds, and returns its error. Else the server is
// killed, because what f uses could not be closed either.
func (s shop) givenUp(f func() error) error {
	s.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		s.server.Kill()
		s.Fatal("it is waited for")
		return nil
	}
}

// A server that stops under the mark must not keep a snapshot that was interrupted, or
// whose requests went on, waiting for an answer to what lets the others commit again.
func TestAServerThatStopsUnderTheMarkIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	ctx := s.stopsAt(source.place, "START TRANSACTION")
	s.must(source.Prepare(ctx, memory))
	source.answer = time.Second
	err := s.givenUp(func() error {
		_, err := source.Mark(ctx, memory)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nor a restore that was interrupted, and is to be taken back.
func TestAServerThatStopsInARestoreIsGivenUp(t *testing.T) {
	s, _, memory, entries := shopWithTriggers(t)
	target := s.target("root", "", "shop", testToken)
	ctx := s.stopsAt(target.place, "CHECK TABLE")
	err := s.givenUp(func() error {
		_, err := target.Stage(ctx, entries, memory)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	target.answer = time.Second
	err = s.givenUp(func() error { return target.Discard(context.Background()) })
	if err == nil || !strings.Contains(err.Error(), "has not answered in 1s") {
		t.Errorf("it says: %v", err)
	}
}
