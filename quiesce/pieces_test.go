package quiesce

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// A site says a byte at a time, the next when the visitor has read the one before.
func TestAnswersGoThroughInPieces(t *testing.T) {
	const text = "slowly"
	for name, head := range map[string]http.Header{
		"counted":           {"Content-Length": {"6"}},
		"in chunks":         {},
		"events":            {"Content-Type": {"text/event-stream"}},
		"events, counted":   {"Content-Type": {"Text/Event-Stream; charset=utf-8"}, "Content-Length": {"6"}},
		"counted, trailers": {"Trailer": {"Sum"}},
	} {
		for _, c := range []struct {
			method, expect string
			body           io.Reader
		}{{"GET", "", nil}, {"POST", "", strings.NewReader("x")}, {"POST", "100-continue", strings.NewReader("x")}} {
			for _, scheme := range []string{"http", "h2c"} {
				next := make(chan bool)
				_, address, clients := inFront(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					for name, values := range head {
						w.Header()[name] = values
					}
					w.WriteHeader(http.StatusOK)
					for i := range len(text) {
						http.NewResponseController(w).Flush()
						select {
						case <-next:
						case <-r.Context().Done():
							return
						}
						io.WriteString(w, text[i:i+1])
					}
				}))
				for visitor, client := range clients {
					r, _ := http.NewRequestWithContext(t.Context(), c.method, "http://"+address+"/", c.body)
					if c.expect != "" {
						r.Header.Set("Expect", c.expect)
					}
					response, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					var got []byte
					for range len(text) {
						next <- true
						b := make([]byte, 1)
						n, err := io.ReadFull(response.Body, b)
						if err != nil {
							t.Fatalf("%s, %s by %s to %s: %v after %q", name, c.method, visitor, scheme, err, got)
						}
						got = append(got, b[:n]...)
					}
					if rest, err := io.ReadAll(response.Body); string(got) != text || len(rest) > 0 || err != nil {
						t.Errorf("%s, %s by %s to %s: got %q and %q, %v", name, c.method, visitor, scheme, got, rest, err)
					}
					response.Body.Close()
					if c.body != nil {
						c.body.(*strings.Reader).Reset("x")
					}
				}
			}
		}
	}
}

// An answer that comes at once is not sent on in pieces: each costs a system call.
func TestAnAnswerThatComesAtOnceIsOneWrite(t *testing.T) {
	site, _ := rawServer(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("x", 1000))
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := NewProxy(&url.URL{Scheme: "http", Host: site}, nil)
	if err != nil {
		t.Fatal(err)
	}
	counting := &countingListener{Listener: listener}
	server := NewServer(&Gate{Site: proxy})
	go server.Serve(counting)
	defer server.Close()
	client := newVisitor(t)
	const requests = 20
	for range requests {
		response, err := client.Get("http://" + listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); len(body) != 1000 || err != nil {
			t.Fatalf("%d bytes came, %v", len(body), err)
		}
		response.Body.Close()
	}
	if n := counting.writes.Load(); n != requests {
		t.Errorf("%d answers took %d writes", requests, n)
	}
}

// countingListener counts how often is written to its connections.
type countingListener struct {
	net.Listener
	writes atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &countingConn{conn, l}, err
}

type countingConn struct {
	net.Conn
	of *countingListener
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.of.writes.Add(1)
	return c.Conn.Write(p)
}
