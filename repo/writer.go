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
	"holdfast/internal/blob"
	"holdfast/internal/tree"
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
	now     func() time.Time

	jobs    chan *job
	claims  claims
	packers [classes]packer
	uploads uploads
	pending segmentWriter

	splitters [2]sync.Pool // by grain
	buffers   sync.Pool    // []byte of the largest chunk

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
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Add(1)
		group.Go(func() error {
			defer workers.Done()
			return newWorker(w).run(ctx)
		})
	}
	w.uploads.start(ctx, group, w)
	group.Go(func() error {
		defer w.uploads.stop()
		defer workers.Wait()
		defer close(w.jobs)
		if err := f(ctx, w); err != nil {
			return err
		}
		return w.Flush(ctx)
	})
	return group.Wait()
}

func newWriter(s *Session) *Writer {
	r := s.repo
	w := &Writer{repo: r, session: s.Name, now: s.now, jobs: make(chan *job, 2*runtime.GOMAXPROCS(0))}
	w.claims.known = r.has
	w.pending.w = w
	for c := range w.packers {
		w.packers[c].w = w
	}
	for g, sizes := range []chunk.Sizes{r.config.Fine, r.config.Coarse} {
		w.splitters[g].New = func() any { return chunk.NewSplitter(r.config.Polynomial, sizes) }
	}
	largest := max(r.config.Fine.Max, r.config.Coarse.Max)
	w.buffers.New = func() any { b := make([]byte, largest); return &b }
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

// job is one chunk on its way through a worker.
type job struct {
	class  class
	buffer *[]byte // returned to the pool by the worker
	data   []byte
	offset uint64 // in its stream
	base   *base  // of its stream, or nil
	ref    tree.Ref
	done   chan struct{} // one token when ref is set
}

var jobPool = sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }}

func (w *Writer) submit(ctx context.Context, j *job) error {
	select {
	case w.jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j *job) wait(ctx context.Context) (tree.Ref, error) {
	select {
	case <-j.done:
		ref := j.ref
		*j = job{done: j.done}
		jobPool.Put(j)
		return ref, nil
	case <-ctx.Done():
		return tree.Ref{}, context.Cause(ctx)
	}
}

// putBlob stores one blob and waits for its ref.
func (w *Writer) putBlob(ctx context.Context, c class, data []byte) (blob.ID, error) {
	j := jobPool.Get().(*job)
	j.class, j.data = c, data
	if err := w.submit(ctx, j); err != nil {
		return blob.ID{}, err
	}
	ref, err := j.wait(ctx)
	return ref.ID, err
}

// claims decides which of several goroutines that meet the same new blob stores it.
type claims struct {
	known  func(blob.ID) (bool, error)
	shards [64]struct {
		mu  sync.Mutex
		ids map[blob.ID]struct{}
	}
}

// claim reports whether the caller has to store the blob.
func (c *claims) claim(id blob.ID) (bool, error) {
	shard := &c.shards[id[0]&63]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// Under the lock, because forget runs when the index has learnt the blob.
	if known, err := c.known(id); known || err != nil {
		return false, err
	}
	if _, taken := shard.ids[id]; taken {
		return false, nil
	}
	if shard.ids == nil {
		shard.ids = map[blob.ID]struct{}{}
	}
	shard.ids[id] = struct{}{}
	return true, nil
}

// forget drops the claims on blobs that the index knows by now.
func (c *claims) forget(ids []blob.ID) {
	for _, id := range ids {
		shard := &c.shards[id[0]&63]
		shard.mu.Lock()
		delete(shard.ids, id)
		shard.mu.Unlock()
	}
}

// segmentName draws the name of a new index segment.
func (w *Writer) segmentName() (string, error) {
	n, err := w.repo.randomHex(16)
	if err != nil {
		return "", fmt.Errorf("draw the name of an index segment: %w", err)
	}
	return "index/" + n, nil
}
