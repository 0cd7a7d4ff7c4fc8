package activity

import (
	"fmt"
	"time"
)

// State is what has become of an operation.
type State string

// The states.
const (
	InProgress State = "in_progress"
	Complete   State = "complete"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
	// Interrupted is never written: it is what Latest and All make of an operation
	// in progress whose process has ended, or has long been silent.
	Interrupted State = "interrupted"
)

// The bounds of a record.
const (
	maxName    = 255     // bytes of a project, an environment, a snapshot
	maxText    = 4096    // bytes of an error or of one line
	maxResults = 1 << 10 // lines
	// MaxJournal is the size in bytes of a swap journal.
	MaxJournal = 8 << 20
)

// Record is what is known of one operation. Times are whole seconds, UTC.
type Record struct {
	Holder
	Project     string `cbor:"4,keyasint" json:"project"`
	Environment string `cbor:"5,keyasint" json:"environment"`
	State       State  `cbor:"6,keyasint" json:"state"`
	// Percent is an estimate that never goes back; 100 only when complete.
	Percent  int       `cbor:"7,keyasint" json:"percent"`
	Started  time.Time `cbor:"8,keyasint" json:"started"`
	Updated  time.Time `cbor:"9,keyasint" json:"updated"`                     // when this was written
	Finished time.Time `cbor:"10,keyasint,omitzero" json:"finished,omitzero"` // zero while in progress
	Error    string    `cbor:"11,keyasint,omitempty" json:"error,omitempty"`
	// Snapshot is what was created, restored or deleted, once that is known.
	Snapshot string `cbor:"12,keyasint,omitempty" json:"snapshot,omitempty"`
	// Results are lines for people: what was done, what was lost.
	Results []string `cbor:"13,keyasint,omitempty" json:"results,omitempty"`
	// Journal is a copy of the swap journal, in the swap journal's own form.
	Journal []byte `cbor:"14,keyasint,omitempty" json:"-"`
}

func (r *Record) validate() error {
	if err := r.Holder.validate(); err != nil {
		return err
	}
	bad := func(what string) error {
		return fmt.Errorf("activity %s: %s out of range: %w", r.Activity, what, ErrInvalid)
	}
	switch {
	case len(r.Project) > maxName || len(r.Environment) > maxName || len(r.Snapshot) > maxName:
		return bad("a name")
	case r.State != InProgress && r.State != Complete && r.State != Failed && r.State != Cancelled:
		return bad("state " + string(r.State))
	case r.Percent < 0 || r.Percent > 100 || r.Percent == 100 && r.State != Complete:
		return bad("percent")
	case !validTime(r.Started) || !validTime(r.Updated) || !r.Finished.IsZero() && !validTime(r.Finished):
		return bad("a time")
	case r.Finished.IsZero() != (r.State == InProgress):
		return bad("finished")
	case len(r.Error) > maxText || len(r.Results) > maxResults || len(r.Journal) > MaxJournal:
		return bad("error, results or journal")
	}
	for _, line := range r.Results {
		if len(line) > maxText {
			return bad("a line of the results")
		}
	}
	return nil
}

func (r *Record) toUTC() {
	r.Started, r.Updated = r.Started.UTC(), r.Updated.UTC()
	if !r.Finished.IsZero() {
		r.Finished = r.Finished.UTC()
	}
}
