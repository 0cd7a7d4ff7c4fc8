package redis

import (
	"context"
	"errors"
	"fmt"
)

// stand is how far a server had come when it was marked.
type stand struct {
	known   bool
	changes int64 // since its last save
	saved   int64 // when that was, in Unix time
}

func (s *source) stands(ctx context.Context) (stand, error) {
	i, err := s.control.info(ctx, "persistence")
	return stand{true, i.number("rdb_changes_since_last_save"), i.number("rdb_last_save_time")}, err
}

// Moved says whether somebody has written to the server since the mark (snapshot's
// witness): to any of its databases, since it counts them together. Keys that expire
// or are evicted do not count.
func (s *source) Moved(ctx context.Context) (string, error) {
	if !s.marked.known {
		return "", nil
	}
	now, err := s.stands(ctx)
	switch changes := now.changes - s.marked.changes; {
	case err != nil:
		return "", err
	case changes < 0 || now.saved != s.marked.saved:
		return "", errors.New("the server has saved meanwhile, and counts from then on")
	case changes > 0:
		return fmt.Sprintf("changes to the server's databases: %d", changes), nil
	}
	return "", nil
}
