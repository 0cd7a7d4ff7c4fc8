package repo

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"holdfast/internal/blake3"
)

// CacheFile names a file in which this machine remembers something of the repository at
// its place; "" where it remembers nothing.
func (r *Repository) CacheFile(kind string) string {
	if r.local.dir == "" {
		return ""
	}
	place := blake3.Sum256([]byte(r.place))
	return filepath.Join(r.local.dir, r.ID(), fmt.Sprintf("%s-%x.json", kind, place[:8]))
}

// The file of what was seen, beside the local copy of the index, is the highest counter of each
// environment that this machine has met, also in what it has committed itself. A
// snapshot that vanishes is noticed by it even if none came after.

func (r *Repository) seenFile() string { return r.CacheFile("seen") }

// seen is empty where nothing is known.
func (r *Repository) seen() map[string]uint64 {
	seen := map[string]uint64{}
	if data, err := os.ReadFile(r.seenFile()); err == nil && (json.Unmarshal(data, &seen) != nil || seen == nil) {
		return map[string]uint64{}
	}
	return seen
}

// remember adds what is higher than what was seen before. It is best effort: without
// a writable cache, and where two processes do it in the same moment, the check is
// weaker until the next listing, not wrong.
func (r *Repository) remember(highest map[string]uint64) {
	seen := r.seen()
	before := maps.Clone(seen)
	for line, n := range highest {
		seen[line] = max(seen[line], n)
	}
	file := r.seenFile()
	if file == "" || maps.Equal(seen, before) {
		return
	}
	data, err := json.Marshal(seen)
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	next, err := os.CreateTemp(filepath.Dir(file), "seen-*.new") // readable by its owner only
	if err != nil {
		return
	}
	_, err = next.Write(data) // not synced: a create does not wait for what may be lost
	if next.Close() != nil || err != nil || os.Rename(next.Name(), file) != nil {
		_ = os.Remove(next.Name())
	}
}
