package repo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/seal"
	"holdfast/repo/pack"
)

const (
	packSize    = 16 << 20 // a pack is closed when it holds as much
	packsUnsent = 1        // packs on their way to storage at once, while the next is filled
)

// packer fills one pack after the other.
type packer struct {
	w       *Writer
	mu      sync.Mutex
	builder *pack.Builder
}

func (p *packer) add(ctx context.Context, b pack.Blob, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil {
		var err error
		if p.builder, err = p.w.uploads.builder(p.w); err != nil {
			return err
		}
	}
	if err := p.builder.Add(b, payload); err != nil {
		return err
	}
	if p.builder.Size() < packSize {
		return nil
	}
	return p.send(ctx)
}

func (p *packer) flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil || p.builder.Count() == 0 {
		return nil
	}
	return p.send(ctx)
}

// send needs mu.
func (p *packer) send(ctx context.Context) error {
	full := p.builder
	p.builder = nil
	return p.w.uploads.add(ctx, full)
}

// uploads makes packs durable while the next ones are filled.
type uploads struct {
	queue chan *pack.Builder
	free  sync.Pool // *pack.Builder, for their buffers
	open  sync.WaitGroup
}

func (u *uploads) start(ctx context.Context, group *errgroup.Group, w *Writer) {
	u.queue = make(chan *pack.Builder)
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
	if b, ok := u.free.Get().(*pack.Builder); ok {
		return b, b.Reset()
	}
	return pack.NewBuilder(w.repo.keys, w.session)
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
	w.uploads.free.Put(b)
	return err
}

const (
	segmentPacks   = 64
	segmentEntries = 1 << 17
	segmentAge     = time.Minute
)

// segmentWriter publishes what durable packs hold: often enough that a killed
// writer's work is found again.
type segmentWriter struct {
	w       *Writer
	mu      sync.Mutex
	builder index.Builder
	packs   int // in builder
	ids     []blob.ID
	since   time.Time
}

func (s *segmentWriter) add(ctx context.Context, p *pack.Pack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packs == 0 {
		s.since = s.w.now()
	}
	s.builder.AddPack(indexPack(p.Info), indexEntries(p))
	s.packs++
	for _, b := range p.Blobs {
		s.ids = append(s.ids, b.ID)
	}
	if s.packs < segmentPacks && len(s.ids) < segmentEntries && s.w.now().Sub(s.since) < segmentAge {
		return nil
	}
	return s.publishLocked(ctx)
}

func (s *segmentWriter) publish(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packs == 0 {
		return nil
	}
	return s.publishLocked(ctx)
}

func (s *segmentWriter) publishLocked(ctx context.Context) error {
	plain, err := s.builder.Encode()
	if err != nil {
		return fmt.Errorf("encode an index segment: %w", err)
	}
	name, err := s.w.segmentName()
	if err != nil {
		return err
	}
	sealed, err := s.w.repo.keys.Seal(seal.Segment, name, plain)
	if err != nil {
		return fmt.Errorf("seal %s: %w", name, err)
	}
	if err := s.w.repo.store.Put(ctx, name, sealed); err != nil {
		return err
	}
	s.w.stats.stored.Add(uint64(len(sealed)))
	if err := s.w.repo.addSegment(name, plain); err != nil {
		return err
	}
	s.w.claims.forget(s.ids)
	s.builder, s.packs, s.ids = index.Builder{}, 0, nil
	return nil
}

func indexPack(p pack.Info) index.Pack {
	return index.Pack{Name: p.Name, Salt: p.Salt, Epoch: p.Epoch, Size: p.Size, Session: p.Session}
}

func indexEntries(p *pack.Pack) []index.Entry {
	entries := make([]index.Entry, len(p.Blobs))
	for i, b := range p.Blobs {
		entries[i] = index.Entry{ID: b.ID, Offset: b.Offset, Sealed: b.Sealed, Length: b.Length, Number: b.Number,
			Encoding: uint8(b.Encoding), Depth: b.Depth, Bases: b.Bases}
	}
	return entries
}
