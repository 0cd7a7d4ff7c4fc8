package quiesce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An upload that comes slowly ends the hold; the error names it, and how far it is.
func TestSlowUploadsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, head, begun, rest string
		says                    string
	}{
		{"of a known length", "Content-Length: 1000", strings.Repeat("x", 12), strings.Repeat("x", 988), "of which 12 of 1000 bytes had come; 1 of them are still being sent"},
		{"in chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n", "0\r\n\r\n", "of which 5 bytes had come; 1 of them"},
	} {
		begun := make(chan struct{}, 1)
		g, address, _ := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, 1))
			begun <- struct{}{}
			io.Copy(io.Discard, r.Body)
		}))
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", c.head, c.begun)
		<-begun
		err = drainFor(t, g, 50*time.Millisecond)
		running, ok := errors.AsType[*RunningError](err)
		if !ok || running.Count != 1 || !strings.Contains(err.Error(), "POST /upload for ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		g.release()
		fmt.Fprint(conn, c.rest)
		for g.State() != Open || runningIn(g) > 0 {
			time.Sleep(time.Millisecond)
		}
		if err := drainFor(t, g, time.Minute); err != nil {
			t.Errorf("%s: once it has come: %v", c.name, err)
		}
		g.release()
		conn.Close()
	}
}

func drainFor(t *testing.T, g *Gate, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := g.shut(ctx); err != nil {
		t.Fatal(err)
	}
	return g.drain(ctx)
}

func runningIn(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running.n
}
