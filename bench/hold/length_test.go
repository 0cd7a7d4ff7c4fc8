package hold

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

var (
	files     = flag.Int("files", 500, "files in the mount whose holds are measured")
	megabytes = flag.Int("megabytes", 5, "their size, all together")
)

// lengths are how long visitors were held, by how the remainder of the mount was
// found.
type lengths struct {
	Files     int             `json:"files"`
	Megabytes int             `json:"megabytes"`
	Rate      int             `json:"rate"`
	Events    []time.Duration `json:"events_ns"` // the kernel told what was touched
	Walk      []time.Duration `json:"walk_ns"`   // it did not, so every file was looked at
}

// TestTheHoldDoesNotGrowWithTheData takes snapshots of a mount of many files, to
// be run with -files and -megabytes. What it asserts does not depend on time.
func TestTheHoldDoesNotGrowWithTheData(t *testing.T) {
	w := newWorld(t)
	w.fill(*files, *megabytes)
	w.create("master") // the first day
	// What that wrote the kernel writes back for half a minute, and the services' fsyncs,
	// which a hold waits for, would stand behind it.
	syscall.Sync()
	l := w.visitors(*rate)
	time.Sleep(time.Second)
	r := lengths{Files: *files, Megabytes: *megabytes, Rate: *rate}
	for range *snapshots {
		r.Events = append(r.Events, w.heldFor(l))
	}
	w.unwatched = true
	for range *snapshots {
		r.Walk = append(r.Walk, w.heldFor(l))
	}
	for _, some := range [][]time.Duration{r.Events, r.Walk} {
		slices.Sort(some)
	}
	t.Logf("%d files, %d MB: held %v median, %v at most; by a walk %v and %v", r.Files, r.Megabytes,
		quantile(r.Events, 0.5), quantile(r.Events, 1), quantile(r.Walk, 0.5), quantile(r.Walk, 1))
	r.addEarlier(t)
	write(t, r)
}

// addEarlier adds what -out holds of the same: runs of two sizes can be made in turn, so
// that what else goes on tells less.
func (r *lengths) addEarlier(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(*out)
	if err != nil {
		return // there is none
	}
	var earlier lengths
	if err := json.Unmarshal(data, &earlier); err != nil || earlier.Files != r.Files || earlier.Megabytes != r.Megabytes || earlier.Rate != r.Rate {
		t.Fatalf("%s is of %d files of %d MB at %d requests a second, this run was not: remove it first; %v", *out, earlier.Files, earlier.Megabytes, earlier.Rate, err)
	}
	r.Events, r.Walk = append(r.Events, earlier.Events...), append(r.Walk, earlier.Walk...)
	slices.Sort(r.Events)
	slices.Sort(r.Walk)
}

func (w *world) heldFor(l *load) time.Duration {
	w.Helper()
	s := w.create("master")
	l.check(w.T)
	if s.Consistency != "one-instant" || s.walked() != w.unwatched {
		w.Errorf("snapshot %s is %s, by a walk %v, want %v: %+v", s.Name, s.Consistency, s.walked(), w.unwatched, s.Services)
	}
	if _, fails := l.seen(); len(fails) > 0 {
		w.Errorf("%d requests were lost: %s", len(fails), fails[0])
	}
	return s.Held
}

// fill puts files that no compressor makes smaller into the mount, in directories
// of a hundred.
func (w *world) fill(files, megabytes int) {
	w.Helper()
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, megabytes*1_000_000/files)
	for i := range files {
		dir := filepath.Join(w.site.entries, "ballast", fmt.Sprintf("%05d", i/100))
		if i%100 == 0 {
			w.must(os.MkdirAll(dir, 0o755))
		}
		_, err := random.Read(content)
		w.must(errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content, 0o644)))
	}
}
