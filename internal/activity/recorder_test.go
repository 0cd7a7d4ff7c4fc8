package activity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func record(holder Holder) Record {
	return Record{Holder: holder, Project: "shop", Environment: "master"}
}

func start(t *testing.T, objects Objects, p *Progress) *Recorder {
	t.Helper()
	r, err := Start(t.Context(), objects, record(on("web1")), p, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finish(t *testing.T, r *Recorder, result error) {
	t.Helper()
	if err := r.Finish(result); err != nil {
		t.Error(err)
	}
}

func mustLatest(t *testing.T, objects Objects, id string) Record {
	t.Helper()
	r, err := Latest(t.Context(), objects, id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecorderCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := NewProgress(time.Now())
		r := start(t, m, p)
		p.Add(Counts{Expected: 600})
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			p.Add(Counts{Read: 1})
			r.SetSnapshot(fmt.Sprint(i))
			synctest.Wait()
			if n := len(m.names()); n != 1 {
				t.Fatalf("%d objects: %q", n, m.names())
			}
		}
		if m.written() > 1+int(time.Minute/writeEvery) {
			t.Errorf("600 changes in a minute made %d writes", m.written())
		}
		time.Sleep(writeEvery)
		synctest.Wait()
		if got := mustLatest(t, m, on("web1").Activity); got.Snapshot != "599" || got.Percent != 99 || got.State != InProgress {
			t.Errorf("after some seconds: %+v", got)
		}
		finish(t, r, nil)
	})
}

// Progress alone is news, and news that could not be written stays due.
func TestRecorderWritesTheNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var down atomic.Bool
		p := NewProgress(time.Now())
		r := start(t, &link{m, func(_ context.Context, _ string, do func() error) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return do()
		}}, p)
		later := func() Record {
			time.Sleep(writeEvery)
			synctest.Wait()
			return mustLatest(t, m, on("web1").Activity)
		}
		p.Add(Counts{Expected: 10, Read: 3})
		if got := later().Percent; got != 30 {
			t.Errorf("recorded %d %%, want 30", got)
		}
		down.Store(true)
		r.SetSnapshot("news")
		if got := later().Snapshot; got != "" {
			t.Errorf("recorded %q without a storage", got)
		}
		down.Store(false)
		if got := later().Snapshot; got != "news" {
			t.Errorf("recorded %q, want the news", got)
		}
		p.Done() // what the operation thinks: its end is still to come
		if got := later(); got.Percent != 99 || got.State != InProgress {
			t.Errorf("recorded %s, %d %%", got.State, got.Percent)
		}
		finish(t, r, nil)
	})
}

func TestRecorderKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, nil)
		for range 600 {
			time.Sleep(time.Second)
			if got := mustLatest(t, m, on("web1").Activity); got.State != InProgress {
				t.Fatalf("nothing new, and it counts as %s", got.State)
			}
		}
		if m.written() > 25 {
			t.Errorf("in ten minutes without news %d writes", m.written())
		}
		finish(t, r, nil)
	})
}

func TestFinalStates(t *testing.T) {
	stopped := errors.New("stopped by SIGTERM")
	for name, c := range map[string]struct {
		caller error // with which the caller's context ends
		result error
		state  State
		text   string
	}{
		"complete":            {nil, nil, Complete, ""},
		"failed":              {nil, errors.New("no such table"), Failed, "no such table"},
		"timed out":           {nil, context.DeadlineExceeded, Failed, "context deadline exceeded"},
		"cancelled":           {context.Canceled, context.Canceled, Cancelled, "context canceled"},
		"cancelled, wrapped":  {nil, fmt.Errorf("send: %w", context.Canceled), Cancelled, "send: context canceled"},
		"cancelled, by cause": {stopped, stopped, Cancelled, "stopped by SIGTERM"},
		"done all the same":   {context.Canceled, nil, Complete, ""},
		"lost":                {nil, fmt.Errorf("%w: %w", ErrLost, context.Canceled), Failed, "the lease was lost: context canceled"},
		"lost, by cause":      {ErrLost, context.Canceled, Failed, "context canceled"},
		"long":                {nil, errors.New(strings.Repeat("ä", maxText)), Failed, strings.Repeat("ä", maxText/2-2) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				began := time.Now()
				p := NewProgress(began)
				err := Run(ctx, m, record(on("web1")), p, time.Now, func(ctx context.Context, r *Recorder) error {
					time.Sleep(3 * time.Second)
					p.Add(Counts{Expected: 10, Read: 5})
					r.SetSnapshot("2ca4d90639f706283fee")
					r.AddResult("3 files")
					if c.caller != nil {
						cancel(c.caller)
					}
					return c.result
				})
				if err != c.result {
					t.Errorf("Run returns %v, want %v", err, c.result)
				}
				percent := 0 // what the last write before the end said
				if c.state == Complete {
					percent = 100
				}
				got := mustLatest(t, m, on("web1").Activity)
				if got.State != c.state || got.Error != c.text || got.Percent != percent {
					t.Errorf("recorded %s, %q, %d %%; want %s, %q, %d", got.State, got.Error, got.Percent, c.state, c.text, percent)
				}
				end := began.Add(3 * time.Second)
				if got.Project != "shop" || got.Environment != "master" || got.Kind != Create || got.Snapshot != "2ca4d90639f706283fee" ||
					len(got.Results) != 1 || !got.Started.Equal(began) || !got.Finished.Equal(end) || !got.Updated.Equal(end) {
					t.Errorf("recorded %+v", got)
				}
				if len(m.names()) != 1 {
					t.Errorf("left: %q", m.names())
				}
			})
		})
	}
}

func TestNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, nil)
		finish(t, r, errors.New("first"))
		r.SetSnapshot("late")
		r.AddResult("late")
		finish(t, r, nil)
		if err := r.WriteJournal(t.Context(), []byte("late")); err != nil {
			t.Error(err)
		}
		got := mustLatest(t, m, on("web1").Activity)
		if got.State != Failed || got.Error != "first" || got.Snapshot != "" || got.Results != nil || got.Journal != nil {
			t.Errorf("recorded %+v", got)
		}
	})
}

// When WriteJournal has returned, the journal is there; one that is too large is
// refused and spoils nothing.
func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		r := start(t, m, nil)
		for _, journal := range []string{"prepared", "swapping", "committed"} {
			data := []byte(journal)
			if err := r.WriteJournal(t.Context(), data); err != nil {
				t.Fatal(err)
			}
			clear(data) // the caller's own
			if got := mustLatest(t, m, on("web1").Activity); string(got.Journal) != journal {
				t.Errorf("the journal is %q, want %q", got.Journal, journal)
			}
		}
		if err := r.WriteJournal(t.Context(), make([]byte, MaxJournal+1)); err == nil {
			t.Error("a journal beyond the bound was taken")
		}
		if err := r.WriteJournal(t.Context(), make([]byte, MaxJournal)); err != nil {
			t.Error(err)
		}
		for range 2 * maxResults {
			r.AddResult(strings.Repeat("x", 2*maxText))
		}
		finish(t, r, nil)
		got := mustLatest(t, m, on("web1").Activity)
		if n := len(got.Results); got.State != Complete || n != maxResults || got.Results[n-1] != cutOff || len(got.Results[0]) != maxText {
			t.Errorf("%s with %d lines", got.State, n)
		}
	})
}

func TestStartRefuses(t *testing.T) {
	m := newMemory()
	bad := record(on("web1"))
	bad.Project = strings.Repeat("x", maxName+1)
	if _, err := Start(t.Context(), m, bad, nil, time.Now); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name that is too long: %v", err)
	}
	broken := errors.New("broken")
	down := &link{m, func(context.Context, string, func() error) error { return broken }}
	called := false
	err := Run(t.Context(), down, record(on("web1")), nil, time.Now, func(context.Context, *Recorder) error {
		called = true
		return nil
	})
	if !errors.Is(err, broken) || called || !strings.Contains(err.Error(), on("web1").Activity) {
		t.Errorf("error is %v, and f was called: %v", err, called)
	}
}

func TestRecorderFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		slow := &link{m, func(_ context.Context, _ string, do func() error) error {
			time.Sleep(10 * time.Millisecond)
			return do()
		}}
		r := start(t, slow, NewProgress(time.Now()))
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				for range 20 {
					r.AddResult(fmt.Sprint(i))
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		finish(t, r, nil)
		if got := mustLatest(t, m, on("web1").Activity); len(got.Results) != 160 || got.State != Complete {
			t.Errorf("%s with %d lines", got.State, len(got.Results))
		}
	})
}
