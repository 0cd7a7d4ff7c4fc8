package quiesce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// model is a site that notices what a gate must never do, and the ends that its
// visitors came to.
type model struct {
	t    *testing.T
	gate *Gate

	mu     sync.Mutex
	inside int  // counted requests that the site works on
	held   bool // the holder was told so, and has not released yet
	ends   map[string]int
	times  map[string]int // how often the site saw each request
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := r.Header.Get("Accept") != "text/event-stream"
	m.mu.Lock()
	m.times[r.URL.Path]++
	if counted {
		if m.held {
			m.t.Errorf("%s reached the site while requests were held", r.URL.Path)
		}
		m.inside++
	}
	m.mu.Unlock()
	var takes int
	fmt.Sscan(r.Header.Get("Takes"), &takes)
	select {
	case <-time.After(time.Duration(takes) * time.Microsecond):
	case <-r.Context().Done():
	}
	if counted {
		m.mu.Lock()
		m.inside--
		m.mu.Unlock()
	}
}

// visitor comes, and perhaps does not wait for the answer.
func (m *model) visitor(ctx context.Context, number int, random *rand.Rand) {
	r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/%d", number), nil)
	r.Header.Set("Takes", fmt.Sprint(random.IntN(20_000)))
	if random.IntN(8) == 0 {
		r.Method = http.MethodGet
		r.Header.Set("Accept", "text/event-stream")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if random.IntN(4) == 0 {
		time.AfterFunc(time.Duration(random.IntN(30_000))*time.Microsecond, cancel)
	}
	end := m.visit(r.WithContext(ctx))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ends[end]++
	switch seen := m.times[r.URL.Path]; {
	case end == "200" && seen != 1, end != "200" && seen != 0:
		m.t.Errorf("%s ended with %s and the site saw it %d times", r.URL.Path, end, seen)
	case end == "gone" && ctx.Err() == nil:
		m.t.Errorf("%s was dropped", r.URL.Path)
	}
}

func (m *model) visit(r *http.Request) (end string) {
	defer func() {
		if recover() != nil {
			end = "gone"
		}
	}()
	w := httptest.NewRecorder()
	m.gate.ServeHTTP(w, r)
	return fmt.Sprint(w.Code)
}

// holder holds the gate once, and lets go, refuses, or overstays.
func (m *model) holder(random *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(30_000))*time.Microsecond)
	defer cancel()
	if err := m.gate.shut(ctx); err != nil {
		return
	}
	if err := m.gate.drain(ctx); err == nil {
		m.mu.Lock()
		m.held = true
		if m.inside != 0 {
			m.t.Errorf("%d requests were on when requests were held", m.inside)
		}
		m.mu.Unlock()
		time.Sleep(time.Duration(random.IntN(30_000)) * time.Microsecond)
		if random.IntN(4) == 0 {
			m.gate.refuseAll()
			time.Sleep(time.Duration(random.IntN(10_000)) * time.Microsecond)
		}
		m.mu.Lock()
		m.held = false
		m.mu.Unlock()
	}
	m.gate.settle(context.Background(), m.gate.release())
}

// Whatever visitors and holders do: no request reaches the site while requests are
// held, each is sent once or answered 503, and none is forgotten.
func TestGateModel(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			m := &model{t: t, ends: map[string]int{}, times: map[string]int{}}
			m.gate = &Gate{Site: m, Queue: 20 + random.IntN(100)}
			var all sync.WaitGroup
			for number := range 400 {
				own := rand.New(rand.NewPCG(seed, uint64(number)+2))
				at := time.Duration(random.IntN(200_000)) * time.Microsecond
				all.Go(func() { time.Sleep(at); m.visitor(t.Context(), number, own) })
			}
			for holder := range 2 {
				own := rand.New(rand.NewPCG(seed, uint64(holder)+1000))
				all.Go(func() {
					for range 5 {
						time.Sleep(time.Duration(own.IntN(20_000)) * time.Microsecond)
						m.holder(own)
					}
				})
			}
			all.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			answered := 0
			for end, n := range m.ends {
				answered += n
				total[end] += n
			}
			if answered != 400 {
				t.Errorf("of 400 visitors %d came to an end", answered)
			}
			g := m.gate
			if s := g.State(); s != Open || g.running.n != 0 || g.passing.n != 0 || g.waiting.n != 0 {
				t.Errorf("in the end the gate is %s; %d running, %d passing, %d waiting", s, g.running.n, g.passing.n, g.waiting.n)
			}
		})
	}
	t.Logf("%v", total)
	for _, end := range []string{"200", "503", "gone"} {
		if total[end] == 0 {
			t.Errorf("no visitor ended with %s: the model does not test that", end)
		}
	}
}
