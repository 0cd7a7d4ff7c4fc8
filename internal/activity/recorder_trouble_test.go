package activity

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The storage is away for a while: the end is recorded if it comes back in time,
// nobody waits for it meanwhile, and the work is not undone if it does not.
func TestRecorderWithoutStorage(t *testing.T) {
	broken, failed := errors.New("broken"), errors.New("failed")
	for _, silence := range []bool{false, true} {
		for _, back := range []bool{true, false} {
			for _, result := range []error{nil, failed} {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					var down atomic.Bool
					objects := &link{m, func(ctx context.Context, _ string, do func() error) error {
						if !down.Load() {
							return do()
						}
						if silence {
							<-ctx.Done()
						}
						return broken
					}}
					err := Run(t.Context(), objects, record(on("web1")), nil, time.Now, func(_ context.Context, r *Recorder) error {
						down.Store(true)
						for range 600 {
							time.Sleep(100 * time.Millisecond)
							before := time.Now()
							r.SetSnapshot("s")
							if waited := time.Since(before); waited != 0 {
								t.Errorf("a change waited %v", waited)
							}
						}
						if back {
							time.AfterFunc(time.Second, func() { down.Store(false) })
						}
						return result
					})
					switch {
					case result != nil && err != failed, result == nil && back && err != nil:
						t.Errorf("silence %v, back %v: error is %v, want %v", silence, back, err, result)
					case result == nil && !back && (!errors.Is(err, ErrNotRecorded) || !errors.Is(err, broken)):
						t.Errorf("silence %v: error is %v", silence, err)
					}
					got := mustLatest(t, m, on("web1").Activity)
					if back && (got.State == InProgress || got.Snapshot != "s" || len(m.names()) != 1) {
						t.Errorf("silence %v: recorded %+v; objects %q", silence, got, m.names())
					}
				})
			}
		}
	}
}

// Answers get lost: the highest number counts, and none is tried twice.
func TestRecorderWithLostAnswers(t *testing.T) {
	for every := 2; every <= 4; every++ {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			total := 0
			objects := &link{m, func(_ context.Context, op string, do func() error) error {
				err := do()
				if total++; total%every == 0 && err == nil {
					return errors.New("connection reset")
				}
				return err
			}}
			err := Run(t.Context(), objects, record(on("web1")), nil, time.Now, func(_ context.Context, r *Recorder) error {
				for i := range 100 {
					time.Sleep(time.Second)
					r.SetSnapshot(fmt.Sprint(i))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if got := mustLatest(t, m, on("web1").Activity); got.State != Complete || got.Snapshot != "99" {
				t.Errorf("recorded %+v", got)
			}
			if n := len(m.names()); n > 2 {
				t.Errorf("left: %q", m.names())
			}
		})
	}
}

// Whatever it has come to when it is killed: there is a record, in order, once
// Start has returned.
func TestRecorderKilledAtEveryStep(t *testing.T) {
	for _, after := range []bool{false, true} {
		alive := false
		for n := 1; !alive; n++ {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				objects := dying(m, n, after)
				r, err := Start(t.Context(), objects, record(on("web1")), nil, time.Now)
				if err == nil {
					err = r.WriteJournal(t.Context(), []byte("prepared"))
					time.Sleep(time.Minute)
					_ = r.Finish(nil)
				}
				alive = !objects.dead
				got, readError := Latest(t.Context(), m, on("web1").Activity, time.Now().Add(time.Hour))
				switch {
				case r == nil && !after && readError == nil, r == nil && err == nil:
					t.Errorf("killed at step %d: never started, yet %+v", n, got)
				case r == nil:
				case readError != nil:
					t.Errorf("killed at step %d: %v", n, readError)
				case err == nil && string(got.Journal) != "prepared":
					t.Errorf("killed at step %d: the journal that was written is %q", n, got.Journal)
				case alive && got.State != Complete, got.State != Complete && got.State != Interrupted:
					t.Errorf("killed at step %d: %s", n, got.State)
				}
			})
		}
	}
}

// A caller that gives up does not wait for a storage that hangs.
func TestFlushIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		objects := &link{newMemory(), func(ctx context.Context, _ string, do func() error) error {
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return do()
		}}
		r := start(t, objects, nil)
		hang.Store(true)
		r.SetSnapshot("x")
		time.Sleep(writeEvery + time.Second) // now the background write hangs
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := r.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		hang.Store(false)
		finish(t, r, nil)
	})
}
