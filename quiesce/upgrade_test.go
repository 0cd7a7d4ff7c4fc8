package quiesce

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// frame is one as a browser sends it: masked, with as short a head as it can have.
func frame(opcode byte, payload []byte) []byte {
	head := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		head = append(head, 0x80|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 0x80|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 0x80|127), uint64(n))
	}
	return append(append(head, 0, 0, 0, 0), payload...)
}

const (
	textFrame  = 0x1
	closeFrame = 0x8
	pingFrame  = 0x9
	pongFrame  = 0xa
)

// echo is a site that switches to whatever protocol is asked for, and sends back
// what it hears.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	io.Copy(conn, rw)
}

// What a visitor says on an upgraded connection while requests are held may change
// the site's data; that he is still there does not.
func TestWhatUpgradedConnectionsSayWhileHeld(t *testing.T) {
	text := frame(textFrame, []byte("order"))
	large := frame(textFrame, make([]byte, 100_000))
	for _, c := range []struct {
		name              string
		protocol          string
		before, meanwhile []byte // the hold
		unheld            int
		first             string
	}{
		{"nothing", "websocket", text, nil, 0, ""},
		{"a message", "websocket", nil, text, 1, "websocket /chat"},
		{"a second message", "websocket", text, text, 1, "websocket /chat"},
		{"the rest of a message", "websocket", large[:50_000], large[50_000:], 1, "websocket /chat"},
		{"the rest of a message's head", "websocket", large[:3], large[3:], 1, "websocket /chat"},
		{"signs of life", "websocket", large, append(frame(pongFrame, []byte("alive")), frame(pingFrame, nil)...), 0, ""},
		{"a farewell", "WebSocket", nil, frame(closeFrame, []byte{3, 232}), 0, ""},
		{"a message among them", "websocket", nil, append(frame(pongFrame, nil), text...), 1, "websocket /chat"},
		{"whatever in another protocol", "mqtt", []byte("x"), []byte("\x8a\x00"), 1, "mqtt /chat"},
	} {
		g, address, _ := inFront(t, "http", http.HandlerFunc(echo))
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", c.protocol)
		r := bufio.NewReader(conn)
		if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%s: %v, %v", c.name, response, err)
		}
		say := func(p []byte) {
			conn.Write(p)
			if got := make([]byte, len(p)); len(p) > 0 {
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, p) {
					t.Errorf("%s: %d bytes came back, %v", c.name, len(got), err)
				}
			}
		}
		say(c.before)
		held(t, g)
		say(c.meanwhile)
		tally := g.settle(t.Context(), g.release())
		say(text)
		conn.Close()
		if tally.Unheld != c.unheld || tally.FirstUnheld != c.first || tally.Passed != 1 {
			t.Errorf("%s: the tally is %+v, want %d unheld, the first %q", c.name, tally, c.unheld, c.first)
		}
	}
}

// What a client says before the protocol has changed is not lost.
func TestAnUpgradedClientThatSpeaksFirst(t *testing.T) {
	g, address, _ := inFront(t, "http", http.HandlerFunc(echo))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := frame(textFrame, []byte("order"))
	held(t, g)
	fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n%s", text)
	r := bufio.NewReader(conn)
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q came back, %v", got, err)
	}
	if tally := g.settle(t.Context(), g.release()); tally.Unheld != 1 {
		t.Errorf("the tally is %+v", tally)
	}
}

// Requests that pass may write when they are of a kind that does, and are on while
// requests are held.
func TestWhichPassingRequestsMayWrite(t *testing.T) {
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		time.Sleep(time.Hour)
	})
	takes := func(d time.Duration) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(d) })
	}
	for _, c := range []struct {
		name         string
		site         http.Handler
		method, path string
		comes        time.Duration // the hold begins after 10 s, draining takes 1 s, and it lasts until 20 s
		want         string        // the first unheld
	}{
		{"a POST that passes", takes(time.Second), "POST", "/hooks/pay", 15 * time.Second, "POST /hooks/pay"},
		{"a DELETE that came before and is still on", takes(5 * time.Second), "DELETE", "/hooks/pay", 9 * time.Second, "DELETE /hooks/pay"},
		{"one that is done before", takes(time.Second), "POST", "/hooks/pay", 5 * time.Second, ""},
		{"one that is done when the others are", takes(200 * time.Millisecond), "POST", "/hooks/pay", 10100 * time.Millisecond, ""},
		{"one that comes after", takes(time.Second), "POST", "/hooks/pay", 21 * time.Second, ""},
		{"a question about a path", takes(time.Second), "OPTIONS", "/hooks/pay", 15 * time.Second, ""},
		{"a GET that passes", takes(time.Second), "GET", "/hooks/pay", 15 * time.Second, ""},
		{"a POST that is answered by an event stream", stream, "POST", "/ask", 5 * time.Second, "POST /ask"},
		{"an event stream", stream, "GET", "/news", 5 * time.Second, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gate{Pass: []string{"/hooks/"}, Site: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/slow" {
						time.Sleep(time.Second)
						return
					}
					c.site.ServeHTTP(w, r)
				})}
				var all sync.WaitGroup
				visit := func(after time.Duration, method, path string) {
					all.Go(func() {
						time.Sleep(after)
						g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
					})
				}
				visit(c.comes, c.method, c.path)
				visit(10*time.Second-time.Nanosecond, "POST", "/slow")
				time.Sleep(10 * time.Second)
				held(t, g)
				time.Sleep(9 * time.Second)
				tally := g.settle(t.Context(), g.release())
				all.Wait()
				if tally.FirstUnheld != c.want || (tally.Unheld == 1) != (c.want != "") {
					t.Errorf("the tally is %+v, want %q", tally, c.want)
				}
			})
		})
	}
}

// A request with a body may ask for another protocol. Nothing of HTTP follows then.
func TestAnUpgradeWithABody(t *testing.T) {
	g := &Gate{Site: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.NewResponseController(w).Hijack() })}
	w := hijackable{httptest.NewRecorder()}
	g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")))
	if w.Flushed {
		t.Error("there was an answer of HTTP after the other protocol")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x81\x05hello"), 1)
	f.Add([]byte("\x8a\x80\x00\x00\x00\x00\x81\x00"), 3)
	f.Add([]byte("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), 4)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		var whole, inPieces frames
		found := false
		piece = max(1, piece)
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			found = inPieces.anyMessage(rest[:n]) || found
			rest = rest[n:]
		}
		if whole.anyMessage(stream) != found || whole != inPieces {
			t.Errorf("%q in pieces of %d: %+v, as a whole %+v", stream, piece, inPieces, whole)
		}
	})
}
