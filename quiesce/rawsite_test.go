package quiesce

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// rawSite is a site that says what no server of net/http would. serve has one
// connection; it is closed when serve returns.
func rawSite(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) (gate string, connections *atomic.Int32) {
	t.Helper()
	site, connections := rawServer(t, serve)
	return gateBefore(t, site), connections
}

// rawServer is the site of rawSite alone.
func rawServer(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) (address string, connections *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = &atomic.Int32{}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			served.Go(func() {
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		served.Wait()
	})
	return listener.Addr().String(), connections
}

// gateBefore returns the URL of a gate before a site.
func gateBefore(t *testing.T, site string) string {
	t.Helper()
	proxy, err := NewProxy(&url.URL{Scheme: "http", Host: site}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + serve(t, &Gate{Site: proxy})
}

// newVisitor returns a client that asks each time over a connection of its own, and
// bears what the gate does not.
func newVisitor(t *testing.T) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 2 * maxAnswerHead}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// readRequest reads a request whole.
func readRequest(r *bufio.Reader) (*http.Request, error) {
	request, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, request.Body)
	}
	return request, err
}
