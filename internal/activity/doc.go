// Package activity is the running of an operation: who is at work on an
// environment (Lease), what an operation has come to (Record, Recorder, Latest,
// All), and how far it is (Progress).
//
//	Hold -> Acquire -> heartbeats   leases/PLACE/NUMBER         one at a time
//	Run  -> Start   -> updates      activities/ACTIVITY/NUMBER  readable by anybody
//
// Both are written as numbered objects, of which the highest counts, because a
// storage creates objects and never changes them.
//
// Invariants:
//
//  1. Of all that try to create a place's next number, one succeeds: it holds the
//     place. So two never hold it knowing of each other.
//  2. Who holds a place and lost it (it slept, and somebody took over) learns of it
//     at its next heartbeat, and its context ends with ErrLost as the cause.
//  3. After kill -9 at any point a place can be taken again: at once on the same
//     machine, within some minutes from elsewhere.
//  4. A number is removed only when a higher one has been there for a minute, so
//     that a listing, which may miss what comes and goes meanwhile, sees one of them.
//  5. A final state that was recorded stays: nothing is written after it.
//
// A lease only keeps operations from working against each other in vain; it
// protects no data. A process can sleep for an hour between two instructions and
// then go on, lease or no lease. What a snapshot relies on is decided by sessions,
// and the target of a restore is locked in itself.
//
// Goroutines: a Lease and a Recorder own one each, which Release and Finish join.
package activity

import (
	"context"
	"iter"
)

// Objects keeps the numbered objects. The repository implements it and seals what
// it writes.
type Objects interface {
	// Create makes an object; the error wraps fs.ErrExist where the name is taken.
	// After any other error the object may or may not be there.
	Create(ctx context.Context, name string, data []byte) error
	// Read returns an object; the error wraps fs.ErrNotExist where there is none, and
	// fs.ErrInvalid where it is damaged.
	Read(ctx context.Context, name string) ([]byte, error)
	// List yields the names that begin with prefix + "/". What is created or
	// removed meanwhile may or may not be seen.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Remove removes an object. A missing one is no error.
	Remove(ctx context.Context, name string) error
}
