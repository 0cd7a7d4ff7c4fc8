package mysql

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/engines/enginetest"
)

// muting is a connection to a server that stops, with all others, when it is sent what is in when.
type muting struct {
	net.Conn
	when    string
	stopped *atomic.Bool
}

func (m muting) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(m.when)) {
		m.stopped.Store(true)
	}
	if m.stopped.Load() {
		return len(p), nil // the kernel takes it, and nobody reads
	}
	return m.Conn.Write(p)
}

// A server that stops under the mark must not keep a snapshot that was interrupted, or
// whose requests went on, waiting for an answer to what lets the others commit again.
func TestAServerThatStopsUnderTheMarkIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	var stopped atomic.Bool
	source.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return muting{conn, "START TRANSACTION", &stopped}, err
	}
	if err := source.Prepare(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	source.answer = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	marked := make(chan error, 1)
	go func() {
		_, err := source.Mark(ctx, memory)
		marked <- err
	}()
	select {
	case err := <-marked:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		s.server.Kill() // else closing the source would wait, too
		t.Fatal("the mark goes on")
	}
}
