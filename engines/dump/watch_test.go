package dump_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/engines"
	"holdfast/engines/dump"
)

// until is work that goes on for d unless it is told to end, and then says why.
func until(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func TestSomebodyWhoWaitsIsGivenWay(t *testing.T) {
	for name, c := range map[string]struct {
		waits time.Duration // how long somebody waits for the table, from the beginning
		lost  bool
	}{
		"for a moment": {900 * time.Millisecond, false},
		"for too long": {time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var w dump.Waits
				err := dump.GivingWay(t.Context(), func(context.Context) (string, error) {
					waiting := map[string]string{"a visitor of another table": ""}
					if time.Since(began) < c.waits {
						waiting["visitor"] = "orders"
					}
					return w.TooLong(time.Now(), waiting), nil
				}, until(10*time.Second))
				if errors.Is(err, engines.ErrPointLost) != c.lost || c.lost != (err != nil) {
					t.Fatal(err)
				}
				took := time.Since(began)
				if c.lost && (took < dump.MaxBlock || took > dump.MaxBlock+time.Second || !strings.Contains(err.Error(), "orders")) {
					t.Errorf("given way after %v: %v", took, err)
				}
			})
		})
	}
}

func TestAWatcherThatFailsEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the connection was lost")
		err := dump.GivingWay(t.Context(), func(context.Context) (string, error) { return "", broken }, until(time.Hour))
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}

func TestSmallTablesComeFirst(t *testing.T) {
	var mu sync.Mutex
	var order []int
	err := dump.EachTable(t.Context(), []string{"one"}, []dump.Table{{Size: 30}, {Size: 10}, {Size: 20}, {Size: 10}}, func(_ context.Context, _ []string, table int) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, table)
		return nil
	})
	if err != nil || !slices.Equal(order, []int{1, 3, 2, 0}) {
		t.Errorf("%v, %v", order, err)
	}
}

func TestATableThatFailsEndsTheOthers(t *testing.T) {
	broken := errors.New("gone")
	var read [2]int
	err := dump.EachTable(t.Context(), []int{0, 1}, make([]dump.Table, 5), func(ctx context.Context, reader []int, _ int) error {
		read[reader[0]]++
		if reader[0] == 0 {
			return broken
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, broken) || read[0]+read[1] > 2 {
		t.Errorf("%v after %v tables", err, read)
	}
}
