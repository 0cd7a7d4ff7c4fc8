package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// consistencyOf takes a snapshot and returns what it says of itself, and what show
// says of it.
func (g *gated) consistencyOf(environment string) (consistency, shown string) {
	g.t.Helper()
	var s struct {
		Name        string `json:"name"`
		Consistency string `json:"consistency"`
	}
	g.must(json.Unmarshal([]byte(g.ok("-e", environment, "--json", "snapshot", "create")), &s))
	return s.Consistency, g.ok("-e", environment, "snapshot", "show", s.Name)
}

// What passes the gate and may write keeps a snapshot from being called one instant.
func TestWhatPassesAndMayWriteIsSaid(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 5)
	entered, blocked := make(chan struct{}), make(chan struct{})
	g.apps["master"] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chat" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
		}
		entered <- struct{}{}
		<-blocked
	}))
	t.Cleanup(g.apps["master"].Close)
	g.gate("master", "--pass", "/hooks/")

	var visitor sync.WaitGroup
	visitor.Go(func() {
		if response, err := http.Post(g.urls["master"]+"/hooks/pay", "text/plain", nil); err == nil {
			response.Body.Close()
		}
	})
	<-entered
	consistency, shown := g.consistencyOf("master")
	if consistency != "per-service" || !strings.Contains(shown, "1 that passed may have written meanwhile: POST /hooks/pay") {
		t.Errorf("while a POST passes it says %s\n%s", consistency, shown)
	}
	blocked <- struct{}{}
	visitor.Wait()

	// A WebSocket over which nobody says anything changes nothing.
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.urls["master"], "http://"))
	g.must(err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	<-entered
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	consistency, shown = g.consistencyOf("master")
	if consistency != "one-instant" || strings.Contains(shown, "may have written") || !strings.Contains(shown, "1 passed") {
		t.Errorf("beside a silent WebSocket it says %s\n%s", consistency, shown)
	}
	close(blocked)
}
