package demosite

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Traffic is a crowd of visitors. Requests start on time whether or not earlier
// ones have been answered, as real visitors do; so a site that stops answering
// shows in Failed and Slowest and not in fewer requests.
type Traffic struct {
	Address string        // http://127.0.0.1:…
	Rate    int           // requests a second
	For     time.Duration // then it stops by itself
	Seed    uint64
}

// maxWaiting is how many visitors wait at once; who comes then fails.
const maxWaiting = 256

// A Tally is what the visitors saw.
type Tally struct {
	Requests int           // started, or refused at the door
	Changes  int           // answered requests that changed something
	Failed   int           // not answered with 200
	Slowest  time.Duration // of all answered
	Failure  string        // the first one
}

// Run sends requests until t.For has passed or ctx ends, waits for the answers
// and returns the tally. It fails only if the site cannot be reached at all.
func (t Traffic) Run(ctx context.Context) (Tally, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: maxWaiting}}
	defer client.CloseIdleConnections()
	counts, err := t.counts(ctx, client)
	if err != nil {
		return Tally{}, fmt.Errorf("visit %s: %w", t.Address, err)
	}
	crowd := &crowd{client: client}
	visits := visitor{newWriter(t.Seed, "traffic"), counts}
	var waiting errgroup.Group
	waiting.SetLimit(maxWaiting)
	every := time.NewTicker(time.Second / time.Duration(t.Rate))
	defer every.Stop()
	closing := time.NewTimer(t.For)
	defer closing.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-closing.C:
		case <-every.C:
			method, path, body := visits.next()
			if !waiting.TryGo(func() error { crowd.visit(method, t.Address+path, body); return nil }) {
				crowd.count(method, 0, fmt.Sprintf("%s %s: %d visitors are waiting already", method, path, maxWaiting))
			}
			continue
		}
		err := waiting.Wait()
		return crowd.tally, err
	}
}

// counts asks the site what there is to visit.
func (t Traffic) counts(ctx context.Context, client *http.Client) (map[string]int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Address+"/", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var counts map[string]int64
	return counts, json.NewDecoder(io.LimitReader(response.Body, maxText)).Decode(&counts)
}

// A visitor decides what to do next. It refers to what was there at the start.
type visitor struct {
	writer
	counts map[string]int64
}

func (v visitor) next() (method, path string, body io.Reader) {
	anyOf := func(table string) int64 { return 1 + v.Int64N(max(1, v.counts[table])) }
	switch kind := v.IntN(100); {
	case kind < 45:
		return http.MethodGet, fmt.Sprintf("/articles/%d", anyOf("articles")), http.NoBody
	case kind < 60:
		return http.MethodGet, fmt.Sprintf("/uploads/%d", anyOf("uploads")), http.NoBody
	case kind < 75:
		return http.MethodPost, fmt.Sprintf("/articles/%d/comments?author=%d", anyOf("articles"), anyOf("users")), strings.NewReader(v.prose(60, 400))
	case kind < 87:
		return http.MethodPost, fmt.Sprintf("/orders?customer=%d&product=%d&quantity=1", anyOf("users"), anyOf("products")), http.NoBody
	case kind < 94:
		return http.MethodPost, fmt.Sprintf("/uploads?author=%d", anyOf("users")), v.photo(20_000, 200_000)
	case kind < 97:
		return http.MethodPut, fmt.Sprintf("/articles/%d", anyOf("articles")), strings.NewReader(v.prose(1000, 12_000))
	default:
		return http.MethodPost, fmt.Sprintf("/articles?author=%d", anyOf("users")), strings.NewReader(v.title() + "\n" + v.prose(1000, 12_000))
	}
}

// A crowd counts what its visitors see.
type crowd struct {
	client *http.Client
	lock   sync.Mutex
	tally  Tally
}

// visit sends one request and reads the whole answer. It is not cut off when
// traffic ends, only by the client's time-out.
func (c *crowd) visit(method, address string, body io.Reader) {
	start := time.Now()
	failure := func() string {
		request, err := http.NewRequest(method, address, body)
		if err != nil {
			return err.Error()
		}
		response, err := c.client.Do(request)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return fmt.Sprintf("%s %s: %v", method, address, err)
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Sprintf("%s %s: %s", method, address, response.Status)
		}
		return ""
	}()
	c.count(method, time.Since(start), failure)
}

func (c *crowd) count(method string, took time.Duration, failure string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.tally.Requests++
	switch {
	case failure == "":
		c.tally.Slowest = max(c.tally.Slowest, took)
		if method != http.MethodGet {
			c.tally.Changes++
		}
	default:
		c.tally.Failed++
		if c.tally.Failure == "" {
			c.tally.Failure = failure
		}
	}
}
