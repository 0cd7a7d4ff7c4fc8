package repo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/seal"
	"holdfast/repo/pack"
)

const (
	segmentPacks   = 64
	segmentEntries = 1 << 15
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
	if err := s.w.repo.addSegment(ctx, name); err != nil {
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
