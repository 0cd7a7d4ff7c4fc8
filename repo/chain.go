package repo

import "holdfast/internal/blob"

// maxChain bounds how many deltas a reader applies to make one blob.
const maxChain = 24

// chainBudget is what resolving a delta may still cost.
type chainBudget struct {
	deltas int
	bytes  int
}

// chain returns the depth of the shallowest copy of id and subtracts from left
// what reading it costs; ok is false when that is too much or id is not there.
func (r *Repository) chain(id blob.ID, left *chainBudget) (depth uint8, ok bool) {
	copies, err := r.Copies(id)
	if err != nil || len(copies) == 0 {
		return 0, false
	}
	c := copies[0]
	if c.Depth == 0 {
		return 0, true // the whole bytes at the end of a chain are read once for many
	}
	left.deltas--
	left.bytes -= int(c.Sealed)
	if left.deltas < 0 || left.bytes < 0 || c.Depth >= maxChain {
		return 0, false
	}
	for _, base := range c.Bases {
		if _, ok := r.chain(base, left); !ok {
			return 0, false
		}
	}
	return c.Depth, true
}
