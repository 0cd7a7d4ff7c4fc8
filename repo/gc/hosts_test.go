package gc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/tree"
	"holdfast/repo"
)

// host is one that takes snapshots every so often, with a process for each.
type host struct {
	l       *large
	name    string
	cache   string
	files   []tree.Stream
	counter int
	names   []repo.Name
}

func (h *host) create(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	r, err := h.l.open(ctx, h.cache)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	h.counter++
	name, err := snapshot(ctx, r, h.name, h.counter, func(ctx context.Context, into *repo.Writer) ([]tree.Stream, error) {
		f, err := putFile(ctx, into, 1<<24*int(h.name[len(h.name)-1])+h.counter)
		h.files = append(h.files[max(0, len(h.files)+1-window):], f)
		return h.files, err
	})
	h.names = append(h.names, name)
	return time.Since(began), err
}

// createsUntil lets two hosts take snapshots, one after the other with a pause
// between, until done is closed and at least so many times each; it returns how long
// each took.
func createsUntil(ctx context.Context, hosts []*host, done <-chan struct{}, least int) (took []time.Duration, err error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	for _, h := range hosts {
		group.Go(func() error {
			for n := 0; ; n++ {
				select {
				case <-done:
					if n >= least {
						return nil
					}
				case <-time.After(pause):
				}
				d, err := h.create(ctx)
				if err != nil {
					return fmt.Errorf("%s: %w", h.name, err)
				}
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	err = group.Wait()
	return took, err
}

// pause between two snapshots of a host.
const pause = 200 * time.Millisecond

func spread(took []time.Duration) string {
	slices.Sort(took)
	return fmt.Sprintf("%d creates, median %v, worst %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}
