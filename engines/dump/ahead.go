package dump

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

const (
	// PieceSize is how large what a lane hands over at a time should become, in bytes.
	PieceSize = 256 << 10
	// laneBytes bounds what one lane has handed over and nobody has used yet. The
	// piece that it fills meanwhile comes on top, and a piece that is larger by
	// itself, because one row is, is handed over when everything before it was used.
	laneBytes = 8 << 20
	// reuse is how large a piece may have become to be filled again, in bytes.
	reuse = 1 << 20
)

// Reading says over how many connections tables are read, and which in parts.
type Reading struct {
	Connections int
	PartsFrom   int64 // the size of the smallest table that is read in parts, in bytes; 0: none is
	PartSize    int64 // in bytes, roughly
}

// DefaultReading reads two tables at a time, and none in parts: a server on a machine of
// two processors is not quicker for them (docs/engines.md has the figures).
var DefaultReading = Reading{Connections: 2}

const (
	// partsFrom is from where on parts make a difference that is worth them.
	partsFrom = 64 << 20
	// partSize is worth a query, and leaves a lane room: it reads a whole part while
	// another lane's is being used, and waits for nobody.
	partSize = 4 << 20
)

// MaxConnections is how many connections may read, at the most.
const MaxConnections = 16

// SetConnections takes the parameter of a service's address that says over how many
// connections tables are read, large ones in parts. It reports whether that is a number
// that may be.
func (r *Reading) SetConnections(value string) bool {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > MaxConnections {
		return false
	}
	*r = Reading{Connections: n, PartsFrom: partsFrom, PartSize: partSize}
	return true
}

// Huge is from where on, in bytes, a row is huge: larger than what a lane may be ahead.
const Huge = laneBytes

// Turn is what those wait for that read huge rows of several tables: one of them at a time
// is written down and used, each of which takes as much memory again. Where one table is
// read over several lanes it is waited for by none, for a lane that has its turn may wait
// for another one's part to be used.
type Turn chan struct{}

// NewTurn returns the turn of those who read one database.
func NewTurn() Turn { return make(Turn, 1) }

// unknownRow is how large rows are taken for before any was read, in bytes.
const unknownRow = 4 << 10

// Ahead reads one thing in parts over several lanes — a lane is a goroutine and its
// connection — ahead of whoever calls Next, who gets what was read as if one lane
// had read it: all pieces of a part in their order, and the parts in theirs.
//
// A lane that is ahead never keeps a part back that is waited for: each has room
// (laneBytes) of its own, and takes parts in their order only.
type Ahead[P any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  *errgroup.Group

	parts chan chan *handed[P] // in their order
	part  chan *handed[P]      // of which Next returns pieces, nil between two
	last  *handed[P]           // what Next returned
	ended bool
	pool  sync.Pool // of *P

	taking chan struct{} // holds one while a lane finds its next part
	over   bool          // there are no more

	huge Turn // nil where nobody waits

	partSize    int64
	mu          sync.Mutex
	rows, bytes int64 // that all lanes have read
}

// handed is a piece on its way.
type handed[P any] struct {
	piece *P
	room  *semaphore.Weighted // its lane's
	size  int64               // of which it takes that much
	huge  bool                // it has its turn, which ends when it was used
}

// ErrAbandoned is what Close returns where not everything was read.
var ErrAbandoned = errors.New("not everything was read")

// Lane is what reads parts.
type Lane[P any] struct {
	Number int
	ahead  *Ahead[P]
	room   *semaphore.Weighted
	part   chan *handed[P]
	huge   bool // it has its turn, for the piece that it is filling
}

// Reader reads parts of one thing.
type Reader[Part, P any] struct {
	Lanes    int
	PartSize int64 // in bytes, roughly
	Huge     Turn  // that Lane.Huge waits for; nil for none
	// Next finds a lane's next part, the one behind all that were found before. It is
	// called by one lane at a time; ok is false when there is none.
	Next func(ctx context.Context, lane *Lane[P]) (part Part, ok bool, err error)
	// Read reads a part and hands it over by Lane.Put.
	Read func(ctx context.Context, lane *Lane[P], part Part) error
	// Done is called when everything was read, whether it has been used or not.
	Done func(ctx context.Context) error
	// GiveUp is called instead when the context has ended before that: lanes must keep
	// nothing from others, however long what was read is still being used.
	GiveUp func()
}

// ReadAhead begins to read.
func ReadAhead[Part, P any](ctx context.Context, r Reader[Part, P]) *Ahead[P] {
	a := &Ahead[P]{partSize: r.PartSize, parts: make(chan chan *handed[P], r.Lanes), taking: make(chan struct{}, 1)}
	if r.Lanes == 1 {
		a.huge = r.Huge
	}
	a.pool.New = func() any { return new(P) }
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.group, a.ctx = errgroup.WithContext(ctx)
	a.group.Go(func() error {
		lanes, ctx := errgroup.WithContext(a.ctx)
		for number := range r.Lanes {
			l := &Lane[P]{Number: number, ahead: a, room: semaphore.NewWeighted(laneBytes)}
			lanes.Go(func() error { return run(ctx, r, l) })
		}
		err := lanes.Wait()
		if err == nil {
			err = r.Done(a.ctx)
		}
		if err != nil && a.ctx.Err() != nil {
			r.GiveUp()
		}
		return err
	})
	return a
}

// run reads parts until there are no more.
func run[Part, P any](ctx context.Context, r Reader[Part, P], l *Lane[P]) error {
	for {
		part, ok, err := take(ctx, r, l)
		if err != nil || !ok {
			return err
		}
		if err := r.Read(ctx, l, part); err != nil {
			return err // without closing the part: it is not whole
		}
		close(l.part)
	}
}

// take finds a lane's next part and puts it in its place in the order.
func take[Part, P any](ctx context.Context, r Reader[Part, P], l *Lane[P]) (part Part, ok bool, err error) {
	a := l.ahead
	select {
	case a.taking <- struct{}{}:
		defer func() { <-a.taking }()
	case <-ctx.Done():
		return part, false, context.Cause(ctx)
	}
	if a.over {
		return part, false, nil
	}
	if part, ok, err = r.Next(ctx, l); err != nil {
		return part, false, err
	}
	if !ok {
		a.over = true
		close(a.parts)
		return part, false, nil
	}
	l.part = make(chan *handed[P], laneBytes/PieceSize)
	select {
	case a.parts <- l.part:
		return part, true, nil
	case <-ctx.Done():
		return part, false, context.Cause(ctx)
	}
}

// Fresh returns a piece to fill. It may be one that was used before, and still hold that.
func (l *Lane[P]) Fresh() *P { return l.ahead.pool.Get().(*P) }

// Huge waits for the lane's turn to add a huge row to the piece that it fills. The turn ends
// when the piece was used.
func (l *Lane[P]) Huge(ctx context.Context) error {
	if l.ahead.huge == nil || l.huge {
		return nil
	}
	select {
	case l.ahead.huge <- struct{}{}:
		l.huge = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Put hands over a piece of the lane's part, which takes size bytes and holds that
// many rows, and waits until there is room.
func (l *Lane[P]) Put(ctx context.Context, piece *P, size, rows int) error {
	l.ahead.mu.Lock()
	l.ahead.rows, l.ahead.bytes = l.ahead.rows+int64(rows), l.ahead.bytes+int64(size)
	l.ahead.mu.Unlock()
	h := &handed[P]{piece, l.room, min(int64(size), laneBytes), l.huge}
	l.huge = false
	if l.room.Acquire(ctx, h.size) != nil {
		return context.Cause(ctx)
	}
	select {
	case l.part <- h:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PartRows is how many rows the next part should have, going by those that were read.
func (l *Lane[P]) PartRows() int64 {
	l.ahead.mu.Lock()
	defer l.ahead.mu.Unlock()
	row := int64(unknownRow)
	if l.ahead.rows > 0 {
		row = max(1, l.ahead.bytes/l.ahead.rows)
	}
	return max(1, l.ahead.partSize/row)
}

// Next returns the next piece, which is valid until Next is called again, and io.EOF
// behind the last.
func (a *Ahead[P]) Next() (*P, error) {
	a.used()
	for {
		if a.part == nil {
			select {
			case part, ok := <-a.parts:
				if !ok {
					return nil, a.end()
				}
				a.part = part
			case <-a.ctx.Done():
				return nil, context.Cause(a.ctx)
			}
		}
		select {
		case h, ok := <-a.part:
			if ok {
				a.last = h
				return h.piece, nil
			}
			a.part = nil
		case <-a.ctx.Done():
			return nil, context.Cause(a.ctx)
		}
	}
}

// used gives back what Next returned.
func (a *Ahead[P]) used() {
	if a.last != nil {
		a.last.room.Release(a.last.size)
		if a.last.size <= reuse {
			a.pool.Put(a.last.piece)
		}
		if a.last.huge {
			<-a.huge
		}
		a.last = nil
	}
}

// end is called when all parts were used: nothing is left to be done but Done.
func (a *Ahead[P]) end() error {
	if err := a.group.Wait(); err != nil {
		return err
	}
	a.ended = true
	return io.EOF
}

// Close ends the lanes and waits for them and for Done. Its error says why they did not come to
// their end: ErrAbandoned if Next was not called up to io.EOF.
func (a *Ahead[P]) Close() error {
	a.cancel(ErrAbandoned)
	if err := a.group.Wait(); err != nil {
		return err
	}
	if !a.ended {
		return ErrAbandoned
	}
	return nil
}
