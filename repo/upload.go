package repo

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/repo/pack"
)

// packsUnsent is how many packs are on their way to storage at once, while the
// next is filled.
const packsUnsent = 1

// uploads makes packs durable while the next ones are filled.
type uploads struct {
	queue chan *pack.Builder
	free  chan *pack.Builder // for their buffers
	open  sync.WaitGroup
}

func (u *uploads) start(ctx context.Context, group *errgroup.Group, w *Writer) {
	u.queue = make(chan *pack.Builder)
	u.free = make(chan *pack.Builder, packsUnsent+int(classes))
	for range packsUnsent {
		group.Go(func() error {
			for b := range u.queue {
				err := w.upload(ctx, b)
				u.open.Done()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (u *uploads) stop() { close(u.queue) }

func (u *uploads) add(ctx context.Context, b *pack.Builder) error {
	u.open.Add(1)
	select {
	case u.queue <- b:
		return nil
	case <-ctx.Done():
		u.open.Done()
		return context.Cause(ctx)
	}
}

// wait returns when every pack that was added is durable, or with the error
// that ended the context.
func (u *uploads) wait(ctx context.Context) error {
	u.open.Wait()
	return context.Cause(ctx)
}

func (u *uploads) builder(w *Writer) (*pack.Builder, error) {
	select {
	case b := <-u.free:
		return b, b.Reset()
	default:
		return pack.NewBuilder(w.repo.keys, w.session)
	}
}

func (w *Writer) upload(ctx context.Context, b *pack.Builder) error {
	p, err := b.Finish()
	if err != nil {
		return err
	}
	if err := w.repo.store.Put(ctx, pack.ObjectName(p.Name), p.Data); err != nil {
		return err
	}
	w.stats.stored.Add(uint64(len(p.Data)))
	err = w.pending.add(ctx, p)
	select {
	case w.uploads.free <- b:
	default:
	}
	return err
}
