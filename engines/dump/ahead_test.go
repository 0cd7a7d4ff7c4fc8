package dump_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/engines/dump"
)

// numbers reads the numbers below until, in parts of as many as the lane is told, over
// lanes that take their time. Each piece is one number.
type numbers struct {
	until        int
	size         int // of a piece, as it is claimed
	pace         func(lane int)
	fail         int // the number that cannot be read, or -1
	done, gaveUp atomic.Bool
	at           int
}

var errUnreadable = errors.New("unreadable")

func (n *numbers) ahead(ctx context.Context, lanes int) *dump.Ahead[int] {
	return dump.ReadAhead(ctx, dump.Reader[[2]int, int]{
		Lanes: lanes, PartSize: 10 * int64(n.size),
		Next: func(_ context.Context, lane *dump.Lane[int]) (part [2]int, ok bool, err error) {
			part = [2]int{n.at, min(n.until, n.at+int(lane.PartRows()))}
			n.at = part[1]
			return part, part[0] < part[1], nil
		},
		Read: func(ctx context.Context, lane *dump.Lane[int], part [2]int) error {
			for i := part[0]; i < part[1]; i++ {
				if i == n.fail {
					return errUnreadable
				}
				n.pace(lane.Number)
				piece := lane.Fresh()
				*piece = i
				if err := lane.Put(ctx, piece, n.size, 1); err != nil {
					return err
				}
			}
			return nil
		},
		Done:   func(context.Context) error { n.done.Store(true); return nil },
		GiveUp: func() { n.gaveUp.Store(true) },
	})
}

func TestPiecesComeInOrderHoweverLanesRun(t *testing.T) {
	for _, lanes := range []int{1, 2, 5} {
		for _, until := range []int{0, 1, 9, 1000} {
			for _, size := range []int{1, 100 << 10, 5 << 20, 20 << 20} { // the last is larger than a lane has room
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(uint64(lanes), uint64(until)))
					pauses := make([]time.Duration, 64)
					for i := range pauses {
						pauses[i] = time.Duration(random.IntN(50)) * time.Millisecond
					}
					var turn atomic.Uint32
					pause := func(int) { time.Sleep(pauses[turn.Add(1)%64]) }
					n := &numbers{until: until, size: size, fail: -1, pace: pause}
					ahead := n.ahead(t.Context(), lanes)
					for want := 0; ; want++ {
						pause(0)
						got, err := ahead.Next()
						if err == io.EOF {
							if want != until || !n.done.Load() {
								t.Errorf("%d lanes: the end after %d of %d", lanes, want, until)
							}
							break
						}
						if err != nil || *got != want {
							t.Fatalf("%d lanes: %v, %v; want %d", lanes, got, err, want)
						}
					}
					if err := ahead.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestALaneThatFailsFailsTheWhole(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			n := &numbers{until: 1000, size: 1000, fail: 500, pace: func(int) { time.Sleep(time.Millisecond) }}
			ahead := n.ahead(t.Context(), lanes)
			for want := 0; ; want++ {
				got, err := ahead.Next()
				if err != nil {
					if !errors.Is(err, errUnreadable) || want > 500 {
						t.Errorf("after %d: %v", want, err)
					}
					break
				}
				if *got != want {
					t.Fatalf("%d instead of %d", *got, want)
				}
			}
			if err := ahead.Close(); !errors.Is(err, errUnreadable) || n.done.Load() {
				t.Errorf("%v, done: %v", err, n.done.Load())
			}
		})
	}
}

func TestLanesWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lanes, piece = 3, 1 << 20
		var read atomic.Int64
		n := &numbers{until: 1000, size: piece, fail: -1, pace: func(int) { read.Add(1) }}
		ahead := n.ahead(t.Context(), lanes)
		synctest.Wait() // nobody uses what was read
		// Eight pieces have room in each lane, and one is in its hands.
		if got := read.Load(); got > lanes*(8+1) {
			t.Errorf("%d MiB were read ahead", got)
		}
		if _, err := ahead.Next(); err != nil {
			t.Error(err)
		}
		if err := ahead.Close(); !errors.Is(err, dump.ErrAbandoned) {
			t.Errorf("left unread: %v", err)
		}
	})
}

func TestWhatWasReadIsLetGoBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &numbers{until: 2, size: 1000, fail: -1, pace: func(int) {}}
		ahead := n.ahead(t.Context(), 1)
		synctest.Wait()
		if !n.done.Load() {
			t.Error("the table is held while what was read of it waits")
		}
		ahead.Close()
	})
}

func TestTheEndOfTheContextEndsTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		n := &numbers{until: 1 << 30, size: 1000, fail: -1, pace: func(int) { time.Sleep(time.Millisecond) }}
		ahead := n.ahead(ctx, 2)
		for range 100 {
			if _, err := ahead.Next(); err != nil {
				t.Fatal(err)
			}
		}
		cancel(errors.New("enough"))
		time.Sleep(time.Second) // as long as each takes for its number
		if !n.gaveUp.Load() {
			t.Error("lanes keep what they have while nobody uses it")
		}
		for err := error(nil); err == nil; {
			if _, err = ahead.Next(); err != nil && !strings.Contains(err.Error(), "enough") {
				t.Error(err)
			}
		}
		if err := ahead.Close(); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Error(err)
		}
	})
}

// Of the huge rows of several tables one at a time is in a piece that was not used.
func TestHugeRowsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tables, pieces = 3, 5
		turn := dump.NewTurn()
		var held atomic.Int64
		var group sync.WaitGroup
		for range tables {
			left := pieces
			ahead := dump.ReadAhead(t.Context(), dump.Reader[int, int]{
				Lanes: 1, Huge: turn,
				Next: func(context.Context, *dump.Lane[int]) (int, bool, error) {
					left--
					return left, left >= 0, nil
				},
				Read: func(ctx context.Context, lane *dump.Lane[int], part int) error {
					for range 2 { // the second is in the same piece
						if err := lane.Huge(ctx); err != nil {
							return err
						}
					}
					if now := held.Add(1); now > 1 {
						t.Errorf("%d huge pieces at a time", now)
					}
					return lane.Put(ctx, lane.Fresh(), 10*dump.Huge, 2)
				},
				Done: func(context.Context) error { return nil },
			})
			group.Go(func() {
				for got := 0; ; got++ {
					if got > 0 {
						held.Add(-1)
					}
					if _, err := ahead.Next(); err != nil {
						if err != io.EOF || got != pieces {
							t.Errorf("%v after %d pieces", err, got)
						}
						break
					}
					time.Sleep(time.Second)
				}
				if err := ahead.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}
