package repo

import "holdfast/internal/blob"

// ways is one search for a blob through all copies of all bases. It remembers what
// cannot be read: several copies of each base make more ways through a chain than can be
// gone. One goroutine uses it. A nil one remembers nothing.
type ways struct{ failed map[sought]error }

// known returns why a blob cannot be read by copies of a depth below the bound, if that
// was found out.
func (w *ways) known(id blob.ID, bound int) error {
	if w == nil {
		return nil
	}
	return w.failed[sought{id, bound}]
}

func (w *ways) fails(id blob.ID, bound int, err error) {
	if w != nil {
		w.failed[sought{id, bound}] = err
	}
}
