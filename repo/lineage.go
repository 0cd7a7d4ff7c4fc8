package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// VanishedError says that snapshots which were there are gone, though nobody
// deleted them: their objects were removed from the storage.
type VanishedError struct {
	Project, Environment string
	Missing              uint64 // how many
	Newest               bool   // the newest ones, so that the next would take their place
}

func (e *VanishedError) Error() string {
	which := "between those that are left"
	if e.Newest {
		which = "after the newest one that is left"
	}
	return fmt.Sprintf("%d snapshot(s) of the environment %s (project %s) have vanished from the repository, %s, without having been deleted",
		e.Missing, e.Environment, e.Project, which)
}

type lineKey struct{ project, environment string }

func (k lineKey) String() string { return k.project + "/" + k.environment }

// Vanished compares the environments' counters with the snapshots that are
// there, which come oldest first, and with what this machine saw last; then it
// remembers what it saw.
func (r *Repository) Vanished(all []Listed) []error {
	counters := map[lineKey]map[uint64]bool{}
	for _, s := range all {
		key := lineKey{s.Project, s.Environment}
		if counters[key] == nil {
			counters[key] = map[uint64]bool{}
		}
		counters[key][s.Counter] = true
	}
	seen := r.seen()
	var vanished []error
	for key, present := range counters {
		highest := uint64(0)
		for n := range present {
			highest = max(highest, n)
		}
		if gap := highest - uint64(len(present)); gap > 0 {
			vanished = append(vanished, &VanishedError{Project: key.project, Environment: key.environment, Missing: gap})
		}
		if last := seen[key.String()]; last > highest {
			vanished = append(vanished, &VanishedError{Project: key.project, Environment: key.environment, Missing: last - highest, Newest: true})
		} else {
			seen[key.String()] = highest
		}
	}
	for name, last := range seen {
		if !hasLine(counters, name) && last > 0 {
			vanished = append(vanished, fmt.Errorf("all %d snapshots of %s have vanished from the repository without having been deleted", last, name))
		}
	}
	r.remember(seen)
	return vanished
}

func hasLine(counters map[lineKey]map[uint64]bool, name string) bool {
	for key := range counters {
		if key.String() == name {
			return true
		}
	}
	return false
}

func (r *Repository) seenFile() string {
	if r.local.dir == "" {
		return ""
	}
	return filepath.Join(r.local.dir, r.ID(), "seen.json")
}

// seen is the highest counter of each environment that this machine has met.
func (r *Repository) seen() map[string]uint64 {
	seen := map[string]uint64{}
	if data, err := os.ReadFile(r.seenFile()); err == nil && json.Unmarshal(data, &seen) != nil {
		return map[string]uint64{}
	}
	return seen
}

// remember is best effort: without a writable cache the check is weaker, not wrong.
func (r *Repository) remember(seen map[string]uint64) {
	file := r.seenFile()
	if file == "" || len(seen) == 0 {
		return
	}
	data, err := json.Marshal(seen)
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	next := file + ".new"
	if os.WriteFile(next, data, 0o600) != nil || os.Rename(next, file) != nil {
		if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
