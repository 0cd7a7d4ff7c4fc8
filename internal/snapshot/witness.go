package snapshot

import (
	"context"
	"fmt"
	"time"
)

// witness is a Source that can tell whether somebody has written to its service
// since it was marked, past the gate: a cron, a queue's worker, an open WebSocket.
//
// If at one moment after the last mark every service stands as it was marked, all
// points are of that moment: this is what makes a snapshot one instant, whatever
// else was believed about who writes.
type witness interface {
	// Moved says how the service has moved on since Mark, such as "from
	// binlog.000003:4123 to binlog.000003:4711"; "" where it has not. It is called
	// under the hold, when all are marked, and takes a round trip or two. What the
	// server does of its own accord does not count.
	Moved(ctx context.Context) (string, error)
}

// witnessTime bounds how long the question whether a service has moved prolongs a
// hold.
const witnessTime = 500 * time.Millisecond

// askWitness notes whether k's service has moved. That it cannot tell fails nothing.
func (k *capture) askWitness(ctx context.Context) error {
	w, ok := k.source.(witness)
	if !ok {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, witnessTime)
	defer cancel()
	moved, err := w.Moved(asking)
	if err != nil && ctx.Err() == nil {
		k.notes = append(k.notes, fmt.Sprintf("whether somebody wrote to it while requests were held is not known: %v", err))
	}
	k.moved = moved
	return nil
}
