package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"holdfast/engines"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// Trial says what a snapshot would save of one service or mount.
type Trial struct {
	Name   string `json:"name"`
	Engine string `json:"engine"`
	From   string `json:"from"`
	Files  uint64 `json:"files"` // seen before the hold: of a mount all, of a database none
	Read   uint64 `json:"read"`  // bytes that would be read before the hold
	Kept   uint64 `json:"kept"`  // bytes that need not be read: unchanged since the parent snapshot
	// Notes say what its point will be worth, and what would make that better.
	Notes []string `json:"notes,omitempty"`
}

// Try prepares every part as Create would, and stores nothing. Its error tells of all
// parts that cannot be prepared.
func (c *Creation) Try(ctx context.Context) ([]Trial, error) {
	captures, err := c.open()
	defer closeAll(captures)
	if err != nil {
		return nil, err
	}
	parent, err := c.parentEntries(ctx, c.draft(c.Now()).Parent)
	if err != nil {
		return nil, err
	}
	trials := make([]Trial, len(captures))
	var refused []error
	for i, k := range captures {
		s := &trySink{Repository: c.Repository, parent: parent}
		if err := k.source.Prepare(ctx, s); err != nil {
			refused = append(refused, k.wrap("", err))
			continue
		}
		if f, ok := k.source.(engines.Foreseer); ok {
			if s.trial.Notes, err = f.Foresee(ctx); err != nil {
				return nil, k.wrap("", err)
			}
		}
		s.trial.Name, s.trial.Engine, s.trial.From = k.part.Name, k.part.Engine.Name, k.part.URL.String()
		trials[i] = s.trial
	}
	return trials, errors.Join(refused...)
}

// trySink counts what it is given.
type trySink struct {
	*repo.Repository
	parent map[string]tree.Entry
	mu     sync.Mutex
	trial  Trial
}

var _ engines.Sink = (*trySink)(nil)

func (s *trySink) count(read, kept uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trial.Files++
	s.trial.Read += read
	s.trial.Kept += kept
}

func (s *trySink) Parent(name string) (tree.Entry, bool) {
	e, ok := s.parent[name]
	return e, ok
}

func (s *trySink) Put(_ context.Context, e tree.Entry, _ tree.Stream, content io.Reader) (tree.Entry, error) {
	n, err := io.Copy(io.Discard, content)
	if err != nil {
		return e, fmt.Errorf("read %s: %w", e.Name, err)
	}
	if len(e.Holes) == 0 {
		e.Size = uint64(n)
	}
	s.count(uint64(n), 0)
	return e, nil
}

func (s *trySink) Join(_ context.Context, e tree.Entry, _ ...tree.Stream) (tree.Entry, error) {
	return e, nil
}

func (s *trySink) PutDirectory(_ context.Context, e tree.Entry, _ tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error) {
	for _, err := range children {
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

func (s *trySink) Keep(e tree.Entry) { s.count(0, e.Size) }
