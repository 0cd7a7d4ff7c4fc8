package repo

import "time"

// Hold is what became of the requests that a gate held while a snapshot's points
// were marked. The field numbers are its format.
type Hold struct {
	// Drained is how long running requests took to finish.
	Drained     time.Duration `cbor:"1,keyasint,omitempty" json:"drained_ns"`
	Requests    uint64        `cbor:"2,keyasint,omitempty" json:"requests"` // that waited
	LongestWait time.Duration `cbor:"3,keyasint,omitempty" json:"longest_wait_ns"`
	// Passed counts those that were not held, by their kind: WebSockets, health
	// checks and the like.
	Passed  uint64 `cbor:"4,keyasint,omitempty" json:"passed"`
	Refused uint64 `cbor:"5,keyasint,omitempty" json:"refused"` // because too many waited
	Left    uint64 `cbor:"6,keyasint,omitempty" json:"left"`    // whose client hung up while they waited
	// Frozen names the workers that stood meanwhile.
	Frozen []string `cbor:"7,keyasint,omitempty" json:"frozen,omitempty"`
	// Broken says why requests went on before all was marked, or were not held at
	// all; "" if they were held to the end.
	Broken string `cbor:"8,keyasint,omitempty" json:"broken,omitempty"`
	// Trouble is what whoever looks after the site had to know: a worker that still
	// stood.
	Trouble []string `cbor:"9,keyasint,omitempty" json:"trouble,omitempty"`
	// Unheld counts those of Passed that may have written while points were marked;
	// FirstUnheld names one of them.
	Unheld      uint64 `cbor:"10,keyasint,omitempty" json:"unheld"`
	FirstUnheld string `cbor:"11,keyasint,omitempty" json:"first_unheld,omitempty"`
}
