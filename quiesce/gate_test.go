package quiesce

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a site that takes a while, and remembers in which order it was asked.
type slow struct {
	takes time.Duration
	mu    sync.Mutex
	seen  []string
	most  int // at the same time
	now   int
}

func (s *slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.URL.Path)
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(s.takes)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
}

func get(g *Gate, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func held(t *testing.T, g *Gate) {
	t.Helper()
	if err := g.shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestHeldRequestsGoOnInOrderAndNotAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &slow{takes: time.Millisecond}
		g := &Gate{Site: site}
		held(t, g)
		var all sync.WaitGroup
		var want []string
		const visitors = 1000
		for i := range visitors {
			path := "/" + strings.Repeat("x", i)
			want = append(want, path)
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Microsecond)
				get(g, path)
			})
		}
		time.Sleep(time.Second)
		tally := g.settle(t.Context(), g.release())
		all.Wait()
		// Requests that go on at one moment reach the site in any order, so those of
		// one window are compared as a set.
		for i := 0; i < visitors; i += minWindow {
			end := min(i+minWindow, visitors)
			if got := slices.Sorted(slices.Values(site.seen[i:end])); !slices.Equal(got, want[i:end]) {
				t.Fatalf("requests %d to %d did not go on in order", i, end)
			}
		}
		if site.most > minWindow {
			t.Errorf("%d requests went on at once, want at most %d", site.most, minWindow)
		}
		if tally.Requests != visitors || tally.LongestWait < 999*time.Millisecond || tally.LongestWait > 1100*time.Millisecond {
			t.Errorf("the tally is %+v", tally)
		}
	})
}

// A site that answers nobody does not keep the queue.
func TestTheQueueEmptiesThoughNobodyIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Site: &slow{takes: time.Hour}}
		held(t, g)
		var all sync.WaitGroup
		for range 10_000 {
			all.Go(func() { get(g, "/") })
		}
		synctest.Wait()
		start := time.Now()
		g.settle(t.Context(), g.release())
		if took := time.Since(start); took > time.Second {
			t.Errorf("the queue emptied after %s", took)
		}
		all.Wait()
	})
}

func TestWhatPasses(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		path   string
		header []string
		passes bool
	}{
		{"an ordinary request", "GET", "/", nil, false},
		{"a WebSocket", "GET", "/chat", []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket"}, true},
		{"a POST that calls itself an upgrade", "POST", "/order", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, false},
		{"half an upgrade", "GET", "/", []string{"Upgrade", "websocket"}, false},
		{"an event stream", "GET", "/events", []string{"Accept", "text/event-stream"}, true},
		{"a load balancer", "GET", "/", []string{"User-Agent", "ELB-HealthChecker/2.0"}, true},
		{"a POST of a load balancer", "POST", "/", []string{"User-Agent", "ELB-HealthChecker/2.0"}, false},
		{"a path", "POST", "/healthz", nil, true},
		{"a path that begins like it", "GET", "/healthz/deep", nil, false},
		{"beneath a directory", "POST", "/status/deep", nil, true},
		{"beneath a prefix", "GET", "/metrics-all", nil, true},
		{"out of a directory again", "POST", "/status/../order", nil, false},
	} {
		g := &Gate{Pass: []string{"/healthz", "/status/", "/metrics*"}}
		r := httptest.NewRequest(c.method, c.path, nil)
		for i := 0; i+1 < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		if got := g.passes(r); got != c.passes {
			t.Errorf("%s: passes is %v, want %v", c.name, got, c.passes)
		}
	}
}

func TestPastTheBoundIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Site: &slow{}, Queue: 3, RetryAfter: 7 * time.Second}
		held(t, g)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { get(g, "/") })
		}
		synctest.Wait()
		w := get(g, "/")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "7" {
			t.Errorf("the fourth was answered %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		g.release()
		all.Wait()
		if tally := g.settle(t.Context(), g.release()); tally.Refused != 1 || tally.Requests != 3 {
			t.Errorf("the tally is %+v", tally)
		}
	})
}

// site that sends the head of its answer and then takes an hour.
func endless(head func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head(w)
		time.Sleep(time.Hour)
	})
}

func TestARequestThatNeverEnds(t *testing.T) {
	begun := func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }
	for _, c := range []struct {
		name   string
		method string
		site   http.Handler
		ends   bool // the hold
	}{
		{"a POST", "POST", endless(begun), true},
		{"a GET without an answer", "GET", endless(func(http.ResponseWriter) {}), true},
		{"a slow download", "GET", endless(begun), false},
		{"an answer that is an event stream", "POST", endless(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
		}), false},
		{"an early hint is no answer", "GET", endless(func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) }), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gate{Site: c.site}
				go g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(c.method, "/long", nil))
				synctest.Wait()
				if err := g.shut(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err := g.drain(ctx)
				running, ends := errors.AsType[*RunningError](err)
				if ends != c.ends {
					t.Fatalf("the drain returned %v", err)
				}
				if ends && (running.Path != "/long" || running.Count != 1 || running.For != 5*time.Second) {
					t.Errorf("what ran on is %+v", running)
				}
				g.release()
				if tally := g.settle(t.Context(), g.release()); !ends && tally.Passed != 1 {
					t.Errorf("the tally is %+v, want one that passed", tally)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}
