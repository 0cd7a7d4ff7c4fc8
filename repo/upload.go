package repo

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

const (
	// partSize is how much of a pack is handed on at once, in bytes.
	partSize = 1 << 20
	// partsUnsent is how many parts are on their way to storage at once.
	partsUnsent = 6
	// packsUnsent is how many packs are not durable at once. Syncing the file and the
	// directory takes as long as writing some MiB, but no processor: the more packs
	// wait for that together, the less it is noticed.
	packsUnsent = 6
)

// uploads writes packs to storage while they are filled.
//
//	Builder ── part, in a buffer ──> upload: name, draft ──> buffer for the next part
//	        ── the last one ───────> upload: commit, index segment
//
// What holds:
//
//  1. A pack has a goroutine of its own from its first part until it is durable and
//     noted for the next index segment; wait waits for all of them.
//  2. Whoever fills a pack waits for one of partsUnsent buffers before it hands on a
//     part, and for one of packsUnsent places before the first one. Writing needs
//     neither, so both come back. Beside these buffers, of little more than a part
//     mostly, there is one in each Builder: what is filled or ended just now.
//  3. After an error nothing is handed on any more: the error has ended the context.
type uploads struct {
	w       *Writer
	group   *errgroup.Group
	ctx     context.Context // of the group
	open    sync.WaitGroup
	unsent  chan struct{}      // holds one for each pack that is not durable
	buffers chan []byte        // those that nobody uses, some of them not allocated yet
	free    chan *pack.Builder // those that nobody uses
	namers  sync.Pool          // of *pack.Namer
}

func (u *uploads) start(ctx context.Context, group *errgroup.Group, w *Writer) {
	u.w, u.group, u.ctx = w, group, ctx
	u.unsent = make(chan struct{}, packsUnsent)
	u.free = make(chan *pack.Builder, packsUnsent)
	u.namers.New = func() any { return pack.NewNamer() }
	u.buffers = make(chan []byte, partsUnsent)
	for range partsUnsent {
		u.buffers <- nil
	}
}

// wait returns when every pack that was ended is durable, or with the error that
// ended the context.
func (u *uploads) wait(ctx context.Context) error {
	u.open.Wait()
	return context.Cause(ctx)
}

// builder returns one for the next pack.
func (u *uploads) builder() (*pack.Builder, error) {
	select {
	case b := <-u.free:
		return b, b.Reset()
	default:
		return pack.NewBuilder(u.w.repo.keys, u.w.session)
	}
}

func (u *uploads) reuse(b *pack.Builder) {
	select {
	case u.free <- b:
	default:
	}
}

// upload is one pack on its way.
type upload struct {
	parts chan []byte
	last  *pack.Pack    // set before parts is closed
	from  *pack.Builder // of last
}

// begin starts the goroutine of a pack.
func (u *uploads) begin(ctx context.Context) (*upload, error) {
	select {
	case u.unsent <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	up := &upload{parts: make(chan []byte, partsUnsent)}
	u.open.Add(1)
	u.group.Go(func() error {
		defer u.open.Done()
		defer func() { <-u.unsent }()
		return u.run(up)
	})
	return up, nil
}

// hand passes on what is sealed of a pack so far.
func (u *uploads) hand(ctx context.Context, up *upload, b *pack.Builder) error {
	select {
	case next := <-u.buffers:
		up.parts <- b.Take(next) // has room for all buffers
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end passes on the rest of a pack.
func (u *uploads) end(up *upload, b *pack.Builder) error {
	last, err := b.Finish()
	if err != nil {
		return err
	}
	up.last, up.from = last, b
	close(up.parts)
	return nil
}

// run makes a pack durable.
func (u *uploads) run(up *upload) error {
	draft, err := u.w.repo.store.Begin(u.ctx, pack.Folder)
	if err != nil {
		return err
	}
	defer draft.Discard()
	namer := u.namers.Get().(*pack.Namer)
	defer u.namers.Put(namer)
	namer.Reset()
	write := func(part []byte) error {
		_, _ = namer.Write(part) // never fails
		return draft.Write(u.ctx, part)
	}
	for {
		select {
		case part, more := <-up.parts:
			if !more {
				if err := write(up.last.Data); err != nil {
					return err
				}
				u.reuse(up.from)
				up.last.Name = namer.Name()
				return u.commit(draft, up.last)
			}
			if err := write(part); err != nil {
				return err
			}
			u.buffers <- part // has room for all buffers
		case <-u.ctx.Done():
			return context.Cause(u.ctx)
		}
	}
}

// commit gives a pack its name and notes what it holds.
func (u *uploads) commit(draft storage.Draft, p *pack.Pack) error {
	if err := draft.Commit(u.ctx, pack.ObjectName(p.Name)); err != nil {
		return err
	}
	u.w.stats.stored.Add(uint64(p.Size))
	return u.w.pending.add(u.ctx, p)
}
