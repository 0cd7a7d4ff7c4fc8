package repo

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"holdfast/internal/tree"
)

const (
	aheadFrom  = 1 << 20  // a shorter stream is not read ahead
	aheadBlobs = 16       // of one stream at most
	aheadBytes = 16 << 20 // of all streams of a Repository together
)

// budget bounds what all streams read ahead. Whoever gets nothing of it reads
// one blob after the other, so nobody waits for it.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }

// readAhead reads the next blobs of one stream on all cores and hands them on in
// order. The stream's reader alone calls its methods; its goroutines live from
// the first more to close.
type readAhead struct {
	repo    *Repository
	pieces  [aheadBlobs]piece // a ring
	first   int
	count   int
	jobs    chan *piece
	workers sync.WaitGroup
	cancel  context.CancelFunc
}

// piece is one blob on its way.
type piece struct {
	ref    tree.Ref
	place  uint64        // in the stream
	cost   int64         // taken from the budget
	ready  chan struct{} // holds one when buffer and err are set
	buffer *[]byte
	err    error
}

// more starts to read as much as is allowed.
func (a *readAhead) more(s *streamReader) {
	for a.count < len(a.pieces) {
		ref, err := s.head()
		if err != nil {
			return // told when what is before it has been handed on
		}
		cost := int64(min(ref.Size, maxBlob))
		if !a.repo.ahead.take(cost) {
			return
		}
		if a.jobs == nil {
			a.start(s)
		}
		p := &a.pieces[(a.first+a.count)%len(a.pieces)]
		p.ref, p.place, p.cost = ref, s.skip(), cost
		a.count++
		a.jobs <- p
	}
}

func (a *readAhead) start(s *streamReader) {
	a.jobs = make(chan *piece, len(a.pieces))
	for i := range a.pieces {
		a.pieces[i].ready = make(chan struct{}, 1)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	a.cancel = cancel
	for range min(runtime.GOMAXPROCS(0), len(a.pieces)) {
		a.workers.Go(func() {
			for p := range a.jobs {
				p.buffer, p.err = a.repo.lend(ctx, p.ref, p.place, s.present)
				p.ready <- struct{}{}
			}
		})
	}
}

// take returns the oldest blob of those that more began to read, of which there
// must be one.
func (a *readAhead) take() (*[]byte, error) {
	p := &a.pieces[a.first]
	<-p.ready
	a.first, a.count = (a.first+1)%len(a.pieces), a.count-1
	a.repo.ahead.give(p.cost)
	return p.buffer, p.err
}

func (a *readAhead) close() {
	if a.jobs == nil {
		return
	}
	a.cancel()
	close(a.jobs)
	for a.count > 0 {
		if buffer, err := a.take(); err == nil {
			a.repo.scratch.put(buffer)
		}
	}
	a.workers.Wait()
}
