package quiesce

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// The answer may come before the upload has ended, which is then given up.
func TestAnAnswerBeforeTheUploadsEnd(t *testing.T) {
	gone := make(chan error, 1)
	gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			gone <- err
			return
		}
		io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge")
		_, err := io.Copy(io.Discard, r)
		gone <- err
	})
	body, sending := io.Pipe()
	var upload sync.WaitGroup
	upload.Go(func() { sending.Write([]byte("the beginning")) })
	defer upload.Wait()
	defer body.Close()
	response, err := newVisitor(t).Post(gate, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(response.Body); response.StatusCode != http.StatusRequestEntityTooLarge || string(text) != "large" || err != nil {
		t.Errorf("got %d %q, %v", response.StatusCode, text, err)
	}
	response.Body.Close()
	sending.Close()
	<-gone // the connection ended: it is not used for the next one
}

// The visitor sends nothing of what the site does not want to read: the answer ends
// nevertheless, and so does the connection, on which nothing may come after it.
func TestAnAnswerDoesNotWaitForAnUploadThatNobodyReads(t *testing.T) {
	for name, answer := range map[string]string{
		"counted": "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge",
		"chunked": "HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlarge\r\n0\r\n\r\n",
		"cut":     "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\nlarge",
	} {
		for _, head := range []string{"Content-Length: 100000\r\n\r\nsome", "Content-Length: 40\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"} {
			gate, _ := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					io.WriteString(conn, answer)
				}
			})
			conn, err := net.Dial("tcp", strings.TrimPrefix(gate, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%s", head)
			got, err := io.ReadAll(conn) // to the end of the connection
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") || !strings.Contains(string(got), "large") {
				t.Errorf("%s answer to %q: %q, %v", name, head, got, err)
			}
		}
	}
}

// A body that is broken is its visitor's fault. What comes after it is not taken for
// a request.
func TestBodiesThatAreBroken(t *testing.T) {
	for name, sent := range map[string]string{
		"no length of a chunk":    "Transfer-Encoding: chunked\r\n\r\nnone\r\n",
		"no end of a chunk":       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
		"a chunk too long":        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"trailers that are none":  "Transfer-Encoding: chunked\r\n\r\n0\r\nnone\r\n\r\n",
		"after it was asked for":  "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello, world\r\n0\r\n\r\n",
		"after much that was not": "Transfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat("x", 0x20000) + "\r\nnone\r\n",
	} {
		for _, scheme := range []string{"http", "h2c"} {
			read := make(chan error, 1)
			_, address, _ := inFront(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "POST" {
					t.Errorf("%s to %s: what came after it went on as a request", name, scheme)
				}
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
			}))
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%sGET / HTTP/1.1\r\nHost: x\r\n\r\n", sent)
			got, err := io.ReadAll(conn)
			answers := strings.TrimPrefix(string(got), "HTTP/1.1 100 Continue\r\n\r\n")
			if !strings.HasPrefix(answers, "HTTP/1.1 400 ") || strings.Count(answers, "HTTP/1.1 ") != 1 {
				t.Errorf("%s to %s: answered %q, %v", name, scheme, got, err)
			}
			select {
			case err := <-read:
				if err == nil {
					t.Errorf("%s to %s: the site took the body for whole", name, scheme)
				}
			default: // it was not even asked, or has not noticed yet
			}
		}
	}
}

// A visitor hangs up while the site does not read what he has sent: he keeps neither
// his place nor the connection to the site.
func TestAVisitorWhoHangsUpWhileNobodyReads(t *testing.T) {
	for _, head := range []string{"Content-Length: 1000000000\r\n\r\n", "Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"} {
		gone := make(chan struct{})
		ended := make(chan error, 1)
		site, _ := rawServer(t, func(conn net.Conn, r *bufio.Reader) {
			http.ReadRequest(r)
			io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			<-gone
			_, err := io.Copy(io.Discard, r)
			ended <- err
		})
		proxy, err := NewProxy(&url.URL{Scheme: "http", Host: site}, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := &Gate{Site: proxy}
		conn, err := net.Dial("tcp", serve(t, g))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%s", head)
		sendUntilNobodyReads(t, g, conn)
		conn.Close()
		for runningIn(g) > 0 {
			time.Sleep(time.Millisecond)
		}
		close(gone)
		<-ended // with the connection, of which the site has not read all
	}
}

// A visitor hangs up whose request waits, and who has sent more that nobody has read:
// its body, or the next request. The site never hears of it.
func TestAHeldVisitorWhoHasSentMoreHangsUp(t *testing.T) {
	for _, c := range []struct{ head, more string }{
		{"Content-Length: 10\r\n\r\n", "hello"},
		{"Content-Length: 5\r\n\r\n", "hello"},
		{"Transfer-Encoding: chunked\r\n\r\n", ""},
		{"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", ""},
		{"\r\n", "POST /next HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		g, address, _ := inFront(t, "http", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%q: %s %s went on", c.head, r.Method, r.URL) }))
		held(t, g)
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%s", c.head)
		waiting(t, g, 1)
		fmt.Fprint(conn, c.more)
		conn.Close()
		waiting(t, g, 0)
		g.release()
	}
}

// Uploads that wait do not keep one that runs from its end, where all come over one
// connection.
func TestUploadsThatWaitBesideOneThatRuns(t *testing.T) {
	begun := make(chan bool)
	g, address, clients := inFront(t, "http", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/runs" {
			begun <- true
		}
		io.Copy(io.Discard, r.Body)
	}))
	const large = 2 << 20 // more than may be under way for one that waits
	var all sync.WaitGroup
	defer all.Wait()
	post := func(path string, body io.Reader) {
		all.Go(func() {
			response, err := clients["HTTP/2.0"].Post("http://"+address+path, "text/plain", body)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	body, sending := io.Pipe()
	post("/runs", body)
	<-begun
	if err := g.shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer g.release()
	for range 30 {
		post("/waits", bytes.NewReader(make([]byte, large)))
	}
	waiting(t, g, 30)
	all.Go(func() {
		sending.Write(make([]byte, large))
		sending.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := g.drain(ctx); err != nil {
		t.Error(err)
	}
}

// sendUntilNobodyReads fills all buffers on the way to the site.
func sendUntilNobodyReads(t *testing.T, g *Gate, conn net.Conn) {
	t.Helper()
	piece := make([]byte, 32<<10)
	for sent := int64(0); ; {
		n, err := conn.Write(piece)
		if err != nil {
			t.Fatal(err)
		}
		sent += int64(n)
		for n := 0; receivedBy(g) < sent; n++ {
			if n == 500 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// receivedBy returns how much of the running upload the gate has read.
func receivedBy(g *Gate) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running.first == nil {
		return 0
	}
	return g.running.first.upload.received.Load()
}

// A body stands for as long as is allowed, and no longer: unless it is the visitor who
// is slow, or an answer is on its way.
func TestBodiesThatNobodyReads(t *testing.T) {
	for _, c := range []struct {
		name string
		held time.Duration
		site func(http.ResponseWriter, *http.Request)
		ends bool
	}{
		{"the site does nothing", 0, func(http.ResponseWriter, *http.Request) {}, true},
		{"it was held, and the site does nothing", time.Hour, func(http.ResponseWriter, *http.Request) {}, true},
		{"the site has read a part", 0, func(_ http.ResponseWriter, r *http.Request) { r.Body.Read(make([]byte, 1)) }, true},
		{"the visitor is slow", 0, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, false},
		{"the site answers", 0, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, false},
		{"another protocol is spoken", 0, func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Hijack() }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			var lasted time.Duration
			g := &Gate{Site: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				began := time.Now()
				c.site(w, r)
				select {
				case <-r.Context().Done():
				case <-time.After(time.Hour):
				}
				cause, lasted = context.Cause(r.Context()), time.Since(began)
			})}
			body, sending := io.Pipe()
			var visitor sync.WaitGroup
			visitor.Go(func() {
				sending.Write([]byte("x"))
				time.Sleep(2 * time.Hour)
				sending.Close()
			})
			defer visitor.Wait()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
			r.ContentLength = 2
			held(t, g)
			release := time.AfterFunc(c.held, func() { g.release() })
			defer release.Stop()
			g.ServeHTTP(hijackable{httptest.NewRecorder()}, r)
			if (cause == errUnread) != c.ends || c.ends && (lasted < standTime || lasted > standTime+2*lookTime) {
				t.Errorf("%s: ended after %v by %v", c.name, lasted, cause)
			}
		})
	}
}

// hijackable is a writer whose connection can be taken over.
type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, other := net.Pipe()
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), other.Close()
}

// The visitor of a site that does not read is told so.
func TestAnUnreadBodyIsAnswered(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	end(errUnread)
	var said strings.Builder
	answer := httptest.NewRecorder()
	answerFailed(answer, httptest.NewRequestWithContext(ctx, "POST", "/upload", nil), ctx.Err(), log.New(&said, "", 0))
	if answer.Code != http.StatusGatewayTimeout || !strings.Contains(said.String(), "POST /upload: the site did not answer: it has not read on") {
		t.Errorf("answered %d, and logged %q", answer.Code, said.String())
	}
}

// Whoever answers without a word of a body, and before the upload's end, is told to
// close the connection like all others: else the next request on it would be lost.
func TestASilentAnswerBeforeTheUploadsEndCloses(t *testing.T) {
	address := serve(t, &Gate{Site: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("answered %s, to be closed %v", response.Status, response.Close)
	}
}
