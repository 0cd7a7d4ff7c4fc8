package quiesce

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// inFront puts a gate in front of a site, both as real servers that speak HTTP/1.1
// and h2c, and returns clients for either.
func inFront(t *testing.T, scheme string, site http.Handler) (g *Gate, address string, clients map[string]*http.Client) {
	t.Helper()
	upstream := serve(t, site)
	proxy, err := NewProxy(&url.URL{Scheme: scheme, Host: upstream}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g = &Gate{Site: proxy}
	address = serve(t, g)
	clients = map[string]*http.Client{}
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		p := &http.Protocols{}
		p.SetHTTP1(name == "HTTP/1.1")
		p.SetUnencryptedHTTP2(name == "HTTP/2.0")
		transport := &http.Transport{Protocols: p}
		t.Cleanup(transport.CloseIdleConnections)
		clients[name] = &http.Client{Transport: transport}
	}
	return g, address, clients
}

func serve(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(h)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func TestTrailersHintsAndBodiesGoThrough(t *testing.T) {
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Sum")
		sum := sha256.New()
		io.Copy(io.MultiWriter(w, sum), r.Body)
		w.Header().Set("Sum", fmt.Sprintf("%x %s", sum.Sum(nil)[:4], r.Trailer.Get("Asked")))
	})
	body := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(body)
	sum := sha256.Sum256(body)
	for _, scheme := range []string{"http", "h2c"} {
		_, address, clients := inFront(t, scheme, site)
		for name, client := range clients {
			hints := 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints && h.Get("Link") != "" {
					hints++
				}
				return nil
			}})
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/", io.NopCloser(bytes.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Trailer = http.Header{"Asked": {"for it"}}
			response, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s to %s: %v", name, scheme, err)
			}
			got, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s to %s: %d of %d bytes came back: %v", name, scheme, len(got), len(body), err)
			}
			if want := fmt.Sprintf("%x for it", sum[:4]); response.Trailer.Get("Sum") != want || response.Proto != name || hints != 1 {
				t.Errorf("%s to %s: %s with trailer %q and %d hints, want trailer %q and one", name, scheme, response.Proto, response.Trailer.Get("Sum"), hints, want)
			}
		}
	}
}

func TestForwardedHeaders(t *testing.T) {
	for _, c := range []struct {
		remote                  string
		said                    http.Header
		forwardedFor, proto, by string
	}{
		{"203.0.113.9:4000", nil, "203.0.113.9", "http", ""},
		{"203.0.113.9:4000", http.Header{"X-Forwarded-For": {"10.9.9.9"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=evil"}}, "203.0.113.9", "http", ""},
		{"127.0.0.1:4000", http.Header{"X-Forwarded-For": {"198.51.100.7"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=198.51.100.7"}}, "198.51.100.7, 127.0.0.1", "https", "for=198.51.100.7"},
		{"10.0.0.3:4000", http.Header{"X-Forwarded-For": {"198.51.100.7"}}, "198.51.100.7, 10.0.0.3", "http", ""},
	} {
		var got http.Header
		var host string
		upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host }))
		target, _ := url.Parse(upstream.URL)
		proxy, err := NewProxy(target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://shop.example/", nil)
		r.RemoteAddr = c.remote
		for name, values := range c.said {
			r.Header[name] = values
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		upstream.Close()
		if got.Get("X-Forwarded-For") != c.forwardedFor || got.Get("X-Forwarded-Proto") != c.proto || got.Get("Forwarded") != c.by ||
			got.Get("X-Forwarded-Host") != "shop.example" || host != "shop.example" {
			t.Errorf("from %s saying %v: %v, host %s", c.remote, c.said, got, host)
		}
	}
}

// What a visitor asks for is what the site is asked for, byte by byte, however odd.
func TestWhatIsAskedForIsNotRewritten(t *testing.T) {
	for _, line := range []string{
		"GET /", "GET /a/../b/./c;d//e", "GET /a%2Fb", "GET /a%2Fb|c", "GET /a%2fb^{c}`d", "GET /%2F\xc3\xa4", "GET //other/a%2Fb",
		"GET /a?", "GET /a?b=%2F|c&d=%zz;e", "GET /a|%2F?b|c", "OPTIONS *", "DELETE /a%2Fb|c",
	} {
		gate, connections := rawSite(t, func(conn net.Conn, r *bufio.Reader) {
			asked, err := r.ReadString('\n')
			if asked != line+" HTTP/1.1\r\n" || err != nil {
				t.Errorf("%q became %q, %v", line, asked, err)
			}
			readRequest(bufio.NewReader(io.MultiReader(strings.NewReader(asked), r)))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(gate, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", line)
		if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != http.StatusOK || connections.Load() != 1 {
			t.Errorf("%q was answered %+v, %v, the site was asked %d times", line, response, err, connections.Load())
		}
		conn.Close()
	}
}

// A held upload has not been read: its client was not even told to go on.
func TestHeldBodiesAreNotRead(t *testing.T) {
	g, address, _ := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	held(t, g)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	waiting(t, g, 1)
	conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the client of a held request was answered")
	}
	conn.SetReadDeadline(time.Time{})
	g.release()
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("after the release came %q, %v", line, err)
	}
	r.ReadString('\n')
	fmt.Fprint(conn, "hello")
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(response.Body); string(got) != "5" {
		t.Errorf("the site read %s bytes", got)
	}
}

// A site may say several times that the body may come: its visitor is told once.
func TestAVisitorIsToldOnceToContinue(t *testing.T) {
	_, address, _ := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			w.WriteHeader(http.StatusContinue)
		}
		io.Copy(w, r.Body)
	}))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("before the body came %q, %v", line, err)
	}
	fmt.Fprint(conn, "hello")
	rest, err := io.ReadAll(r)
	if err != nil || strings.Contains(string(rest), "100 Continue") || !strings.Contains(string(rest), "hello") {
		t.Errorf("after the body came %q, %v", rest, err)
	}
}

// waiting returns once so many requests wait.
func waiting(t *testing.T, g *Gate, n int) {
	t.Helper()
	for range 2000 {
		g.mu.Lock()
		got := g.waiting.n
		g.mu.Unlock()
		if got == n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d requests never waited", n)
}

func TestAClientThatHangsUpWhileHeld(t *testing.T) {
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		seen := 0
		g, address, clients := inFront(t, "http", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }))
		held(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		var client sync.WaitGroup
		client.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
			if _, err := clients[name].Do(r); err == nil {
				t.Errorf("%s: who hung up was answered", name)
			}
		})
		waiting(t, g, 1)
		cancel()
		client.Wait()
		waiting(t, g, 0)
		g.release()
		if tally := g.settle(t.Context(), g.release()); tally.Left != 1 || seen != 0 {
			t.Errorf("%s: the tally is %+v, and the site saw %d requests", name, tally, seen)
		}
	}
}

// A WebSocket opens and talks while requests are held, and lasts beyond.
func TestUpgradesPass(t *testing.T) {
	g, address, _ := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.Copy(conn, rw)
	}))
	held(t, g)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	for _, message := range []string{"held", "released"} {
		fmt.Fprint(conn, message)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != message {
			t.Errorf("sent %q, got %q: %v", message, got, err)
		}
		g.release()
	}
	if tally := g.settle(t.Context(), g.release()); tally.Passed != 1 || tally.Requests != 0 {
		t.Errorf("the tally is %+v", tally)
	}
}

func TestASiteThatIsDown(t *testing.T) {
	proxy, err := NewProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Site: proxy}
	held(t, g)
	var codes []int
	var visitor sync.WaitGroup
	visitor.Go(func() { codes = append(codes, get(g, "/").Code) })
	waiting(t, g, 1)
	g.release()
	visitor.Wait()
	if !slices.Equal(codes, []int{http.StatusBadGateway}) {
		t.Errorf("answered %v", codes)
	}
}

// A site that dies while running requests are waited for ends them: its visitor is
// told, and the hold comes about.
func TestASiteThatDiesWhileDraining(t *testing.T) {
	entered, die := make(chan struct{}), make(chan struct{})
	g, address, clients := inFront(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		close(entered)
		<-die
		conn.Close()
	}))
	var visitor sync.WaitGroup
	visitor.Go(func() {
		response, err := clients["HTTP/1.1"].Post("http://"+address+"/order", "text/plain", strings.NewReader("x"))
		if err != nil || response.StatusCode != http.StatusBadGateway {
			t.Errorf("the visitor was answered %v, %v", response, err)
		}
	})
	<-entered
	if err := g.shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(die)
	if err := g.drain(t.Context()); err != nil || g.State() != Held {
		t.Errorf("the gate is %s, %v", g.State(), err)
	}
	visitor.Wait()
	g.release()
}

func TestProxyRefusesWhatIsNoServer(t *testing.T) {
	for _, text := range []string{"https://127.0.0.1", "http:///x", "http://127.0.0.1/path", "http://127.0.0.1/?q", "ftp://x", "x"} {
		target, _ := url.Parse(text)
		if _, err := NewProxy(target, nil); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
