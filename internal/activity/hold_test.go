package activity

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"
)

func TestHold(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		f    func(ctx context.Context) error
		want error
	}{
		"success": {func(context.Context) error { return nil }, nil},
		"failure": {func(context.Context) error { return broken }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				err := Hold(t.Context(), m, place, on("web1"), time.Now, func(ctx context.Context) error {
					time.Sleep(5 * time.Minute)
					_, err := Acquire(ctx, m, place, on("web22"), time.Now)
					wantBusy(t, err, on("web1"))
					return c.f(ctx)
				})
				if !errors.Is(err, c.want) {
					t.Errorf("error is %v, want %v", err, c.want)
				}
				release(t, acquire(t, m, on("web22"), time.Now)) // at once, so it was released
			})
		})
	}
}

func TestHoldOfABusyPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := acquire(t, m, on("web1"), time.Now)
		wantBusy(t, Hold(t.Context(), m, place, on("web22"), time.Now, func(context.Context) error {
			t.Error("called")
			return nil
		}), on("web1"))
		release(t, l)
	})
}

// When the caller calls off, the work is still tidied up under the lease.
func TestHoldOutlastsTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		err := Hold(ctx, m, place, on("web1"), time.Now, func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			time.Sleep(time.Hour)
			_, err := Acquire(t.Context(), m, place, on("web22"), time.Now)
			wantBusy(t, err, on("web1"))
			return context.Cause(ctx)
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrLost) {
			t.Errorf("error is %v", err)
		}
		release(t, acquire(t, m, on("web22"), time.Now))
	})
}

func TestHoldOfALeaseThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		err := Hold(t.Context(), m, place, on("web1"), time.Now, func(ctx context.Context) error {
			thief := numbered{m, "leases/" + place}
			b := Beat{Holder: on("web22"), Token: "0123456789abcdef", Since: seconds(time.Now()), At: seconds(time.Now())}
			data, err := encode(&b)
			if err != nil {
				return err
			}
			if err := thief.create(ctx, 2, data); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err() // which alone would look like the user's wish
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("error is %v", err)
		}
		if n, _, err := (numbered{m, "leases/" + place}).newest(t.Context()); n != 2 || err != nil {
			t.Errorf("the new holder's place was changed: number %d, %v", n, err)
		}
	})
}

// That the lease cannot be given back does not undo the work, nor hide its error.
func TestHoldThatCannotRelease(t *testing.T) {
	broken, failed := errors.New("broken"), errors.New("failed")
	for _, result := range []error{nil, failed} {
		synctest.Test(t, func(t *testing.T) {
			down := false
			objects := &link{newMemory(), func(_ context.Context, _ string, do func() error) error {
				if down {
					return broken
				}
				return do()
			}}
			err := Hold(t.Context(), objects, place, on("web1"), time.Now, func(context.Context) error {
				down = true
				return result
			})
			if result == nil && (!errors.Is(err, ErrNotReleased) || !errors.Is(err, broken)) {
				t.Errorf("error is %v", err)
			}
			if result != nil && (!errors.Is(err, failed) || errors.Is(err, ErrNotReleased)) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// A number whose object vanishes between List and Read is looked for again, but
// not for ever.
func TestNewestThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.objects["x/00000001"], m.objects["x/00000002"] = []byte("one"), []byte("two")
		m.objects["x/ignored"], m.objects["x/00000000"], m.objects["x/000000003"] = nil, nil, nil
		vanish := 3
		objects := &link{m, func(_ context.Context, op string, do func() error) error {
			if op == "read" && vanish > 0 {
				vanish--
				return fs.ErrNotExist
			}
			return do()
		}}
		n, data, err := numbered{objects, "x"}.newest(t.Context())
		if n != 2 || string(data) != "two" || err != nil {
			t.Errorf("got %d, %q, %v", n, data, err)
		}
		vanish = 1 << 30
		if _, _, err := (numbered{objects, "x"}).newest(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error is %v", err)
		}
	})
}
