package snapshot

import (
	"slices"
	"testing"
)

// told is a progress that writes down what happens.
type told struct {
	silent
	steps *[]string
}

func (t told) Step(what string) { *t.steps = append(*t.steps, what) }

// No phase of a restore has a name that is an environment's, too.
func TestThePhasesOfARestoreHaveNames(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	w.fill("staging", "before")
	r, session := w.restoration(w.create("master"), "staging")
	defer r.Close()
	var steps []string
	r.Progress = told{steps: &steps}
	_, err := r.Restore(t.Context(), session)
	w.must(err)
	if want := []string{"building", "swapping"}; !slices.Equal(steps[:2], want) {
		t.Errorf("its phases are %q, want %q first", steps, want)
	}
}
