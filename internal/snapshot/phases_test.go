package snapshot

import (
	"slices"
	"sync"
	"testing"
)

// phases is a progress that writes down what each phase is said to come to, and came to.
type phases struct {
	silent
	mu   sync.Mutex
	told []phase
}

type phase struct {
	name     string
	guessed  bool
	expected uint64
	read     int
}

func (p *phases) Phase(name string, guessed bool) {
	p.told = append(p.told, phase{name: name, guessed: guessed})
}

func (p *phases) Step(what string) { p.told[len(p.told)-1].name += ", " + what }

func (p *phases) Expect(bytes uint64) {
	if len(p.told) > 0 {
		p.told[len(p.told)-1].expected += bytes
	}
}

func (p *phases) Read(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[len(p.told)-1].read += bytes
}

// Each phase of a restore is told by itself: what is built, and what is then saved, of which
// only the size of the last snapshot is known. None has a name that is an environment's, too.
func TestThePhasesOfARestoreAreToldApart(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	w.fill("staging", "before")
	master, staging := w.create("master"), w.create("staging")
	r, session := w.restoration(master, "staging")
	defer r.Close()
	p := &phases{}
	r.Progress = p
	_, err := r.Restore(t.Context(), session)
	w.must(err)
	var names []string
	for _, phase := range p.told {
		names = append(names, phase.name)
	}
	if want := []string{"building", "swapping", "saving what was replaced"}; !slices.Equal(names, want) {
		t.Fatalf("its phases are %q, want %q", names, want)
	}
	if built := p.told[0]; built.guessed || built.expected != master.Stats.Bytes || built.read == 0 {
		t.Errorf("what is built: %+v, of %d bytes", built, master.Stats.Bytes)
	}
	if swapped := p.told[1]; swapped.expected != 0 || swapped.read != 0 {
		t.Errorf("what is swapped: %+v", swapped)
	}
	if saved := p.told[2]; !saved.guessed || saved.expected != staging.Stats.Bytes {
		t.Errorf("what is saved: %+v, of about %d bytes", saved, staging.Stats.Bytes)
	}
}
