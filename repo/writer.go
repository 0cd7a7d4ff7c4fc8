package repo

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/chunk"
)

// class separates what is read to walk a snapshot from what is read to restore
// it: they go into packs of their own.
type class uint8

const (
	contents class = iota // of files
	listings              // of directories, and lists of refs
	classes
)

// Writer stores streams for one session. It may be used from several
// goroutines; it works only inside the function given to Session.Write.
type Writer struct {
	repo    *Repository
	session Name
	rely    *reliance
	now     func() time.Time

	jobs    chan *job    // chunks of streams that have several
	spare   sync.Pool    // of *job
	idle    chan *worker // all workers but those at work
	claims  claims
	packers [classes]packer
	uploads uploads
	pending segmentWriter

	cutters [2]sync.Pool // of *chunk.Cutter, by grain
	blocks  blocks

	stats writerStats
}

type writerStats struct {
	read, new, stored, blobs, deltas atomic.Uint64
}

// Written counts what a Writer did.
type Written struct {
	Read   uint64 // bytes taken
	New    uint64 // bytes of blobs that the repository did not have
	Stored uint64 // bytes of packs and segments
	Blobs  uint64 // blobs stored
	Deltas uint64 // of those, as differences
}

// Written returns the counts so far.
func (w *Writer) Written() Written {
	return Written{Read: w.stats.read.Load(), New: w.stats.new.Load(), Stored: w.stats.stored.Load(),
		Blobs: w.stats.blobs.Load(), Deltas: w.stats.deltas.Load()}
}

// Write runs f with a Writer, whose goroutines end before Write returns. When f
// returns nil, all that was put is durable and indexed. The context given to f
// ends when storing fails.
func (s *Session) Write(ctx context.Context, f func(context.Context, *Writer) error) error {
	group, ctx := errgroup.WithContext(ctx)
	w := newWriter(s)
	var jobs sync.WaitGroup
	for range cap(w.idle) {
		jobs.Add(1)
		group.Go(func() error {
			defer jobs.Done()
			return w.work(ctx)
		})
	}
	w.uploads.start(ctx, group, w)
	group.Go(func() error {
		defer jobs.Wait()
		defer close(w.jobs)
		if err := f(ctx, w); err != nil {
			return err
		}
		return w.Flush(ctx)
	})
	return group.Wait()
}

func newWriter(s *Session) *Writer {
	r, workers := s.repo, runtime.GOMAXPROCS(0)
	w := &Writer{repo: r, session: s.Name, now: s.now, rely: s.rely, jobs: make(chan *job, 2*workers), idle: make(chan *worker, workers)}
	for range workers {
		w.idle <- newWorker(w)
	}
	w.claims.known = s.rely.has
	w.pending.w = w
	for c := range w.packers {
		w.packers[c].w = w
	}
	for g, sizes := range []chunk.Sizes{r.config.Fine, r.config.Coarse} {
		w.cutters[g].New = func() any { return chunk.NewCutter(r.config.Polynomial, sizes) }
	}
	w.blocks.size = int(max(r.config.Fine.Max, r.config.Coarse.Max)) + readStep
	return w
}

// Flush makes durable and indexed what was put so far, so that it can be read.
// Nothing may be put meanwhile.
func (w *Writer) Flush(ctx context.Context) error {
	for c := range w.packers {
		if err := w.packers[c].flush(ctx); err != nil {
			return err
		}
	}
	if err := w.uploads.wait(ctx); err != nil {
		return err
	}
	return w.pending.publish(ctx)
}

// segmentName draws the name of a new index segment.
func (w *Writer) segmentName() (string, error) {
	n, err := w.repo.randomHex(16)
	if err != nil {
		return "", fmt.Errorf("draw the name of an index segment: %w", err)
	}
	return "index/" + n, nil
}
