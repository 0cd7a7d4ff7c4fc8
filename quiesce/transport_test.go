package quiesce

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// An answer is what it is, and its connection is used again where that is possible.
func TestAnswersOfEveryShape(t *testing.T) {
	for _, c := range []struct {
		name, method, said string
		status             int
		body               string
		closes             bool // the site closes the connection after it
		connections        int32
	}{
		{"counted", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, 1},
		{"in chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 200, "hello", false, 1},
		{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false, 1},
		{"without a body", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, 1},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", false, 1},
		{"to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", false, 1},
		{"to DELETE", "DELETE", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, 1},
		{"to an upload", "PUT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, 1},
		{"after hints", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, 1},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", true, 2},
		{"of HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, 2},
		{"the last one", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", 200, "hello", false, 2},
		{"and more than asked", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, "hello", false, 2},
	} {
		gate, connections := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			for {
				if _, err := readRequest(r); err != nil {
					return
				}
				io.WriteString(conn, c.said)
				if c.closes {
					return
				}
			}
		})
		client := newVisitor(t)
		for range 2 {
			var sent io.Reader
			if c.method == "PUT" {
				sent = strings.NewReader("an upload")
			}
			r, _ := http.NewRequestWithContext(t.Context(), c.method, gate, sent)
			response, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != c.status || string(body) != c.body || err != nil {
				t.Errorf("%s: got %d %q, %v", c.name, response.StatusCode, body, err)
			}
		}
		// The writer of an upload may not have been heard of when the answer is read.
		if n := connections.Load(); n != c.connections && c.method != "PUT" {
			t.Errorf("%s: two requests took %d connections to the site, want %d", c.name, n, c.connections)
		}
	}
}

// Where the site does not say of what type its answer is, nobody does.
func TestNoTypeIsGuessed(t *testing.T) {
	_, address, clients := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}))
	for visitor, client := range clients {
		response, err := client.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if said, ok := response.Header["Content-Type"]; ok {
			t.Errorf("%s: the answer is of type %q", visitor, said)
		}
	}
}

// What the site says unasked, after its answer, answers nobody.
func TestBytesThatNobodyAskedFor(t *testing.T) {
	more := make(chan bool)
	gate, connections := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readRequest(r); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		<-more
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		more <- true
		io.Copy(io.Discard, r)
	})
	client := newVisitor(t)
	for range 3 {
		response, err := client.Get(gate)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "hello" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		response.Body.Close()
		more <- true
		<-more
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("three requests took %d connections to the site", n)
	}
}

// What is no answer is not passed on as one.
func TestAnswersThatAreNone(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":           "",
		"no HTTP":           "SSH-2.0-OpenSSH_10.0\r\n\r\n",
		"half a head":       "HTTP/1.1 200 OK\r\nContent-Le",
		"unasked upgrade":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"a head too long":   "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", maxAnswerHead) + "\r\n\r\n",
		"no status":         "HTTP/1.1 099 Almost\r\nContent-Length: 0\r\n\r\n",
		"hints and no more": "HTTP/1.1 103 Early Hints\r\n\r\n",
		"hints without end": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", maxAnswerHead>>16+1),
	} {
		gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			if _, err := readRequest(r); err == nil {
				io.WriteString(conn, said)
			}
		})
		for _, other := range []http.Header{{}, {"Connection": {"Upgrade"}, "Upgrade": {"other"}}} { // two ways to the site
			r, _ := http.NewRequestWithContext(t.Context(), "GET", gate, nil)
			r.Header = other
			response, err := newVisitor(t).Do(r)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: the visitor got %d", name, response.StatusCode)
			}
		}
	}
}

// A visitor of HTTP/1.0, as many fronts are, knows one answer to a request.
func TestHintsAreNotForHTTP10(t *testing.T) {
	gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readRequest(r); err == nil {
			io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		}
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(gate, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.0 200 OK\r\n") || strings.Contains(string(got), "Link") || !strings.HasSuffix(string(got), "hello") {
		t.Errorf("answered %q, %v", got, err)
	}
}

// A body that ends too early must not look whole.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	for name, said := range map[string]string{
		"counted":   "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"in chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			if _, err := readRequest(r); err == nil {
				io.WriteString(conn, said)
			}
		})
		response, err := newVisitor(t).Get(gate)
		if err != nil {
			continue // it was found out before the head went on
		}
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%s: the visitor got %q as if it was whole", name, body)
		}
		response.Body.Close()
	}
}

// A site may close a connection just when the next request goes into it. What may be
// asked twice is; what changes something is not.
func TestAConnectionThatIsClosedInstead(t *testing.T) {
	for _, c := range []struct {
		method, body string
		status       int
		asked        int32
	}{
		{"GET", "", 200, 2},
		{"HEAD", "", 200, 2},
		{"POST", "", 502, 1},
		{"DELETE", "", 502, 1},
		{"POST", "something", 502, 1},
		{"GET", "something", 502, 1},
	} {
		var asked atomic.Int32
		gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			for n := 0; ; n++ {
				request, err := readRequest(r)
				if err != nil {
					return
				}
				if request.URL.Path == "/second" {
					asked.Add(1)
					if n > 0 {
						return
					}
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		client := newVisitor(t)
		first, err := client.Get(gate + "/first")
		if err != nil {
			t.Fatal(err)
		}
		first.Body.Close()
		r, _ := http.NewRequestWithContext(t.Context(), c.method, gate+"/second", strings.NewReader(c.body))
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.status || asked.Load() != c.asked {
			t.Errorf("%s with a body of %d bytes: %d, and the site was asked %d times, want %d, %d", c.method, len(c.body),
				response.StatusCode, asked.Load(), c.status, c.asked)
		}
	}
}

// A connection that was closed while nobody used it is not used for anything.
func TestAConnectionThatWasClosedWhileIdle(t *testing.T) {
	closed := make(chan bool)
	gate, connections := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readRequest(r); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
		closed <- true
	})
	client := newVisitor(t)
	for range 3 {
		response, err := client.Post(gate, "text/plain", strings.NewReader("something"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("answered %d", response.StatusCode)
		}
		<-closed
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// TestMethodsThatAreOthers: what HTTP/2 lets pass as a method would be another request
// to the site.
func TestMethodsThatAreOthers(t *testing.T) {
	gate := &Gate{Site: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the site was asked") })}
	for _, method := range []string{"GET /evil HTTP/1.1", "GET\t", "", "G\u00c4T"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		answer := httptest.NewRecorder()
		if gate.ServeHTTP(answer, r); answer.Code != http.StatusBadRequest {
			t.Errorf("%q is answered %d", method, answer.Code)
		}
	}
}

// Who hangs up takes the connection to the site along: a half upload is not whole
// to the site, and nobody works for a visitor who is gone.
func TestVisitorsWhoHangUp(t *testing.T) {
	for name, sent := range map[string]string{
		"while the site works":   "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"within a counted body":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome",
		"within a chunked body":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
		"while it works on POST": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nsome",
	} {
		come, gone := make(chan bool, 1), make(chan error, 1)
		gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			request, err := http.ReadRequest(r)
			if err != nil {
				gone <- err
				return
			}
			come <- true
			_, err = io.Copy(io.Discard, request.Body)
			io.Copy(io.Discard, r) // until the gate closes it
			gone <- err
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(gate, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, sent)
		<-come
		conn.Close()
		if err := <-gone; (err != nil) != strings.HasPrefix(name, "within") {
			t.Errorf("%s: the site read the body with %v", name, err)
		}
	}
}

// A connection to the site that nobody uses is closed, before the site does it.
func TestIdleConnectionsAreClosed(t *testing.T) {
	ended := make(chan error, 1)
	gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readRequest(r); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, err := r.ReadByte()
		ended <- err
	})
	response, err := newVisitor(t).Get(gate)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := <-ended; err != io.EOF {
		t.Errorf("an idle connection ended with %v", err)
	}
}

// Requests of all sizes, many at a time, over the same connections: each gets its own
// answer, also where a visitor in between has gone away.
func TestManyShareConnections(t *testing.T) {
	site := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		fmt.Fprint(w, r.URL.Path)
		io.Copy(w, r.Body)
	}))
	gate := gateBefore(t, site)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var visitors sync.WaitGroup
	for v := range 16 {
		visitors.Go(func() {
			random := rand.New(rand.NewPCG(uint64(v), 1))
			for n := range 40 {
				sent := make([]byte, random.IntN(4)*random.IntN(40_000))
				for i := range sent {
					sent[i] = byte(v)
				}
				method, body := http.MethodGet, io.Reader(nil)
				if len(sent) > 0 {
					method, body = http.MethodPost, io.MultiReader(bytes.NewReader(sent)) // of a length that is not known
				}
				ctx, cancel := context.WithCancel(t.Context())
				r, _ := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/%d/%d", gate, v, n), body)
				response, err := client.Do(r)
				if err != nil {
					t.Errorf("visitor %d, request %d: %v", v, n, err)
					cancel()
					return
				}
				if n%10 == 9 {
					cancel() // and reads no more
				} else if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, append([]byte(r.URL.Path), sent...)) {
					t.Errorf("visitor %d, request %d of %d bytes: got %d, %v", v, n, len(sent), len(got), err)
				}
				response.Body.Close()
				cancel()
			}
		})
	}
	visitors.Wait()
}
