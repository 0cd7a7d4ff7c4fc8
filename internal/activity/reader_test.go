package activity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// put writes one record as its operation would have.
func put(t *testing.T, m *memory, number uint64, r Record) {
	t.Helper()
	data, err := encode(&r)
	if err != nil {
		t.Fatal(err)
	}
	if err := (numbered{m, "activities/" + r.Activity}).create(t.Context(), number, data); err != nil {
		t.Fatal(err)
	}
}

func TestInterrupted(t *testing.T) {
	self, ended := here(t), dead(t)
	for name, c := range map[string]struct {
		holder Holder
		state  State
		age    time.Duration
		want   State
	}{
		"here, alive":            {self, InProgress, time.Second, InProgress},
		"here, alive, silent":    {self, InProgress, staleAfter, Interrupted},
		"here, gone":             {ended, InProgress, time.Second, Interrupted},
		"elsewhere":              {on("web1"), InProgress, staleAfter - time.Second, InProgress},
		"elsewhere, silent":      {on("web1"), InProgress, staleAfter, Interrupted},
		"elsewhere, clock ahead": {on("web1"), InProgress, -time.Hour, InProgress},
		"complete, of one gone":  {ended, Complete, time.Hour, Complete},
		"failed, long ago":       {on("web1"), Failed, 1000 * time.Hour, Failed},
		"cancelled, by one gone": {ended, Cancelled, time.Second, Cancelled},
	} {
		r := record(c.holder)
		r.State, r.Started, r.Updated = c.state, testTime, testTime
		if c.state != InProgress {
			r.Finished = testTime
		}
		m := newMemory()
		put(t, m, 1, r)
		got, err := Latest(t.Context(), m, r.Activity, testTime.Add(c.age))
		if err != nil || got.State != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got.State, err, c.want)
		}
	}
}

func TestLatestRefuses(t *testing.T) {
	m := newMemory()
	id := on("web1").Activity
	if _, err := Latest(t.Context(), m, id, testTime); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), id) {
		t.Errorf("none there: %v", err)
	}
	if _, err := Latest(t.Context(), m, "../../config", testTime); !errors.Is(err, ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
	r := testRecord
	put(t, m, 3, r)
	m.objects["activities/"+id+"/00000001"] = m.objects["activities/"+r.Activity+"/00000003"]
	if _, err := Latest(t.Context(), m, id, testTime); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), r.Activity) {
		t.Errorf("the record of another one: %v", err)
	}
	m.objects["activities/"+id+"/00000002"] = []byte("damaged")
	if _, err := Latest(t.Context(), m, id, testTime); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "00000002") {
		t.Errorf("a damaged one: %v", err)
	}
}

// One that cannot be read does not hide the others.
func TestAll(t *testing.T) {
	m := newMemory()
	for i, id := range []string{"cccccccccccccccccccc", "aaaaaaaaaaaaaaaaaaaa"} {
		r := testRecord
		r.Activity = id
		r.Percent = 1
		put(t, m, 9, r)
		r.Percent = 10 + i
		put(t, m, 10, r)
	}
	m.objects["activities/bbbbbbbbbbbbbbbbbbbb/00000001"] = []byte("damaged")
	m.objects["activities/README"] = nil
	m.objects["activities/dddddddddddddddddddd/x"] = nil
	var got []string
	for r, err := range All(t.Context(), m, testTime) {
		if err != nil {
			got = append(got, "error")
		} else {
			got = append(got, r.Activity[:1]+string(rune('0'+r.Percent-10)))
		}
	}
	if s := strings.Join(got, " "); s != "a1 error c0" {
		t.Errorf("got %s", s)
	}
	for range All(t.Context(), m, testTime) {
		break
	}
	broken := errors.New("broken")
	var errs []error
	down := &link{m, func(context.Context, string, func() error) error { return broken }}
	for _, err := range All(t.Context(), down, testTime) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], broken) {
		t.Errorf("errors %v", errs)
	}
}

// TestAllEndsWithItsContext, with one error and not one for each record that is left.
func TestAllEndsWithItsContext(t *testing.T) {
	m := newMemory()
	for i := range 5 {
		r := record(on("web1"))
		r.Activity = fmt.Sprintf("%020x", i+1)
		r.State, r.Started, r.Updated = InProgress, testTime, testTime
		put(t, m, 1, r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, failed := 0, 0
	for _, err := range All(ctx, m, testTime) {
		if err != nil {
			failed++
			continue
		}
		read++
		cancel()
	}
	if read != 1 || failed != 1 {
		t.Errorf("%d records and %d errors", read, failed)
	}
}

// A reader always finds a running operation, though its objects come and go.
func TestReadWhileItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		slow := &link{m, func(_ context.Context, _ string, do func() error) error {
			time.Sleep(7 * time.Millisecond)
			return do()
		}}
		r := start(t, m, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				time.Sleep(20 * time.Millisecond)
				if err := r.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}()
		for range 300 {
			if _, err := Latest(t.Context(), slow, on("web1").Activity, time.Now()); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range All(t.Context(), slow, time.Now()) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			if n != 1 {
				t.Errorf("%d activities", n)
			}
		}
		<-done
		finish(t, r, nil)
	})
}
