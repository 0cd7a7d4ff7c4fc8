package quiesce

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// transport sends requests to one server over HTTP/1.1. The goroutine that asks
// also writes the request and reads the answer. http.Transport has a goroutine for
// each, to be woken with every request.
type transport struct {
	address string
	dialer  *net.Dialer
	// rare takes what needs more: upgrades, tunnels, bodies that wait to be asked for.
	rare http.RoundTripper

	mu    sync.Mutex
	idle  []*siteConn // in the order in which they were used; the last one is taken
	sweep *time.Timer // closes the others in time; nil where none is idle
}

// maxIdle is how many connections are kept at most.
const maxIdle = 1024

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header["Upgrade"] != nil || r.Header["Expect"] != nil || r.Method == http.MethodConnect {
		return inPieces(t.rare.RoundTrip(r))
	}
	if c := t.take(); c != nil {
		response, err := c.exchange(r)
		// The site may have closed the connection just when it was used again.
		again := err != nil && !c.heard && isSafe(r) && r.Body == nil && r.Context().Err() == nil
		if !again {
			return response, err
		}
	}
	var conn net.Conn
	err := onceThereAreFiles(r.Context(), func() (err error) {
		conn, err = t.dialer.DialContext(r.Context(), "tcp", t.address)
		return err
	})
	if err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close())
		}
		return nil, err
	}
	c, err := newSiteConn(conn.(*net.TCPConn), t.keep)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c.exchange(r)
}

// inPieces has httputil.ReverseProxy pass the answer on as it comes, as if its length
// was not known.
func inPieces(response *http.Response, err error) (*http.Response, error) {
	if err == nil && response.ContentLength > 0 {
		response.ContentLength = -1
	}
	return response, err
}

// take returns a connection that waits for a request, or nil.
func (t *transport) take() *siteConn {
	for {
		c := t.pop()
		if c == nil || time.Since(c.since) < upstreamIdle && c.isSilent() {
			return c
		}
		c.close()
	}
}

func (t *transport) pop() (c *siteConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := len(t.idle) - 1; last >= 0 {
		c, t.idle[last] = t.idle[last], nil
		t.idle = t.idle[:last]
	}
	return c
}

// keep takes a connection back whose answer was read.
func (t *transport) keep(c *siteConn) {
	c.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == maxIdle {
		c.close()
		return
	}
	t.idle = append(t.idle, c)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(upstreamIdle, t.closeOld)
	}
}

// closeOld closes what was not used for long.
func (t *transport) closeOld() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for old < len(t.idle) && time.Since(t.idle[old].since) >= upstreamIdle {
		t.idle[old].close()
		old++
	}
	t.idle = slices.Delete(t.idle, 0, old)
	if len(t.idle) == 0 {
		t.sweep = nil
		return
	}
	t.sweep.Reset(upstreamIdle - time.Since(t.idle[0].since))
}
