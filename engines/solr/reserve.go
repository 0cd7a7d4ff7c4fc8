package solr

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// pingEvery is how often a reserved commit is asked for: well below the 10 s for
// which a server keeps it.
const pingEvery = 2 * time.Second

// reservation keeps a server from deleting a commit.
type reservation struct {
	cancel context.CancelFunc
	group  errgroup.Group
}

// reserve begins to ask for a generation, every so often. ctx gives values only:
// the reservation ends with its release.
func (p place) reserve(ctx context.Context, core string, generation int64, every time.Duration) *reservation {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &reservation{cancel: cancel}
	r.group.Go(func() error {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				_, _ = p.files(ctx, core, generation) // if it is gone, whoever reads it will see
			}
		}
	})
	return r
}

// release ends a reservation. nil is none.
func (r *reservation) release() {
	if r != nil {
		r.cancel()
		_ = r.group.Wait() // it gives no error
	}
}
