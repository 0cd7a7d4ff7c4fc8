package repair_test

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repair"
)

// badSector is a storage on a disk that cannot read one byte of an object, and all
// that is read with it.
type badSector struct {
	*storagetest.Memory
	object string // "" once it is gone
	at     int64
}

func (b *badSector) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if name == b.object && off <= b.at && b.at < off+int64(len(p)) {
		return 0, &fs.PathError{Op: "read", Path: name, Err: storage.ErrUnreadable}
	}
	return b.Memory.ReadAt(ctx, name, p, off)
}

func (b *badSector) Delete(ctx context.Context, name string) error {
	if name == b.object {
		b.object = ""
	}
	return b.Memory.Delete(ctx, name)
}

// Move implements storage.Mover.
func (b *badSector) Move(ctx context.Context, name, to string) error {
	data, ok := b.Object(name)
	if _, taken := b.Object(to); taken || !ok {
		return fs.ErrExist
	}
	b.Replace(to, data)
	return b.Delete(ctx, name)
}

// TestABadSector: what the disk cannot read is mended like what it reads wrong, at
// the beginning, in the middle and at the end of every object.
func TestABadSector(t *testing.T) {
	for _, percent := range []int{0, 100} {
		w := newWorld(t)
		if _, err := open(t, w.store).Mark(t.Context(), w.snapshots[0].Name, repo.Pin, now()); err != nil {
			t.Fatal(err)
		}
		if percent > 0 {
			cover(t, w.store, percent)
		}
		lost := 0
		for _, object := range w.store.Names() {
			for _, part := range []int{0, 1, 2} {
				if percent == 0 && (object == "config" || strings.HasPrefix(object, "keys/")) {
					continue // there is no way in
				}
				t.Run(fmt.Sprintf("%d percent, %s, part %d", percent, object, part), func(t *testing.T) {
					state := w.store.Clone()
					data, _ := state.Object(object)
					at := (len(data) - 1) * part / 2
					data[at] ^= 1
					state.Replace(object, data)
					bad := &badSector{state, object, int64(at)}
					kind, _, _ := strings.Cut(object, "/")
					if kind != "config" && kind != "keys" {
						if named, notes := checked(t, bad); !strings.Contains(strings.Join(named, "\n")+notes, object) {
							t.Errorf("check names %q, %s", named, notes)
						}
					}
					opened, err := repair.Locked(t.Context(), bad, false)
					if err != nil {
						t.Fatal(err)
					}
					report := mustRepair(t, bad, options())
					if percent == 0 && kind == "snapshots" {
						if len(report.Unread) != 1 {
							t.Errorf("report %+v", report)
						}
						return
					}
					lost += mustBeMended(t, w, state)
					_, kept := state.Object("aside/" + object)
					switch {
					case percent > 0:
						mustBeAsBefore(t, w.store, state)
						if kind != "parity" && len(report.Mended)+len(opened.Mended) != 1 {
							t.Errorf("report %+v, mended before it was opened %v", report, opened.Mended)
						}
					case kind == "packs" && len(report.Salvaged) != 1,
						kind == "index" && report.Index == nil, kind == "pins" && !kept:
						t.Errorf("report %+v, kept %v", report, kept)
					}
					if again := mustRepair(t, bad, options()); len(again.SetAside)+len(again.Salvaged) > 0 {
						t.Errorf("a second repair finds more to do: %+v", again)
					}
				})
			}
		}
		if percent == 0 && lost == 0 || percent > 0 && lost > 0 {
			t.Errorf("%d percent: %d files are lost", percent, lost)
		}
	}
}
