package hold

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is an open-loop generator: requests start on time, whether earlier ones
// were answered or not. So a hold makes waits, and never fewer requests.
type load struct {
	address string
	rate    int // a second; every other one writes
	most    int // requests that are on; past it the load is given up

	client *http.Client
	stop   context.CancelFunc
	ended  sync.WaitGroup
	pause  sync.RWMutex // held for reading by each request

	mu    sync.Mutex
	open  int          // requests that are on
	next  int          // id of the last entry
	sent  map[int]bool // entries that were answered
	waits []time.Duration
	fails []string
	gave  error // why the load was given up
}

// backlog is how much time's requests may be on before a load is given up: far more
// than any hold makes wait, and less than what a request waits for (client.Timeout).
const backlog = 30 * time.Second

func newLoad(address string, rate int) *load {
	return &load{address: address, rate: rate, most: rate * int(backlog/time.Second), sent: map[int]bool{}, client: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true},
	}}
}

// visitors lets them come until the test ends, or fails because the site does not
// carry them.
func (w *world) visitors(rate int) *load {
	w.Helper()
	l := newLoad(w.gate, rate)
	l.start(w.Context())
	w.Cleanup(func() {
		l.finish()
		if l.gave != nil {
			w.Error(l.gave)
		}
	})
	return l
}

// start sends requests until finish, or until so many are on that the site has fallen
// behind for good: then all are broken off.
func (l *load) start(ctx context.Context) {
	asking, breakOff := context.WithCancel(ctx)
	ctx, l.stop = context.WithCancel(asking)
	l.ended.Go(func() {
		begin := time.Now()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(l.rate)))):
			}
			if l.isTooMuch(time.Since(begin)) {
				breakOff()
				return
			}
			l.ended.Go(func() {
				l.pause.RLock() // what waits here waits for the test, not for the site
				defer l.pause.RUnlock()
				l.visit(asking, n%2 == 0)
			})
		}
	})
}

func (l *load) isTooMuch(lasted time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open > l.most {
		l.gave = fmt.Errorf("this machine does not bear %d requests a second: after %v %d are unanswered; run it with a lower -rate",
			l.rate, lasted.Round(time.Second), l.open)
	}
	return l.gave != nil
}

// check ends a test whose load was given up; the reason is told in the end.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gave != nil {
		t.FailNow()
	}
}

// finish ends the load and waits for all answers.
func (l *load) finish() {
	l.stop()
	l.ended.Wait()
	l.client.CloseIdleConnections()
}

// quiet runs f while no request is on its way.
func (l *load) quiet(f func()) {
	l.pause.Lock()
	defer l.pause.Unlock()
	f()
}

// settle waits until what queued up has been answered: then the next hold begins with
// a site that carries its visitors, and not with one that is late already. It returns
// 1 where that does not come about within a minute, else 0.
func (l *load) settle() (late int) {
	time.Sleep(between)
	for range 600 {
		l.mu.Lock()
		carried := l.open <= max(4, l.rate/50) || l.gave != nil
		l.mu.Unlock()
		if carried {
			return 0
		}
		time.Sleep(between / 5)
	}
	return 1
}

// between is how long visitors are left alone at least after a snapshot or restore.
const between = 500 * time.Millisecond

func (l *load) visit(ctx context.Context, writes bool) {
	started := time.Now()
	id, err := l.begin(writes), error(nil)
	if writes {
		err = l.send(ctx, http.MethodPost, fmt.Sprintf("%s/entries?id=%d", l.address, id))
	} else {
		err = l.send(ctx, http.MethodGet, l.address+"/")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if err != nil {
		l.fails = append(l.fails, err.Error())
	} else if writes {
		l.sent[id] = true
	}
	l.waits = append(l.waits, time.Since(started))
}

// begin counts a request, and returns the id of the entry that it writes.
func (l *load) begin(writes bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	if writes {
		l.next++
	}
	return l.next
}

func (l *load) send(ctx context.Context, method, url string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, body)
	}
	return err
}

// seen returns what visitors saw until now, and forgets it.
func (l *load) seen() (waits []time.Duration, fails []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waits, fails = l.waits, l.fails
	l.waits, l.fails = nil, nil
	slices.Sort(waits)
	return waits, fails
}

// TestALoadThatIsNotBorne: whoever measures on a machine that is too slow is told so.
func TestALoadThatIsNotBorne(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer site.Close()
	l := newLoad(site.URL, 1000)
	l.most = 20
	l.start(t.Context())
	l.ended.Wait() // by itself
	if l.gave == nil || !strings.Contains(l.gave.Error(), "does not bear 1000 requests a second") {
		t.Errorf("it was given up for %v", l.gave)
	}
	l.finish()
}

// quantile of sorted values; 0 where there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
