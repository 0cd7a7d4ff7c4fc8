package repair_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/storage"
	"holdfast/repo/check"
)

// checked runs a check and returns the objects of its problems, sorted, and its notes.
func checked(t *testing.T, state storage.Storage) (objects []string, notes string) {
	t.Helper()
	report, err := check.Run(t.Context(), open(t, state), check.Options{ReadData: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		objects = append(objects, p.Object)
	}
	return objects, strings.Join(report.Notes, "\n")
}

// TestCheckNamesWhatNoOtherStepReads: settings, epochs and lists of condemned packs, each
// of them once.
func TestCheckNamesWhatNoOtherStepReads(t *testing.T) {
	w, _ := recorded(t)
	if _, err := open(t, w.store).RotateKeys(t.Context(), secret, cheap, start); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, object := range w.store.Names() {
		kind, _, _ := strings.Cut(object, "/")
		if kind != "parity" && kind != "epochs" && kind != "condemned" {
			continue
		}
		seen[kind] = true
		state := w.store.Clone()
		data, _ := state.Object(object)
		data[len(data)-1] ^= 1
		state.Replace(object, data)
		if found, _ := checked(t, state); !slices.Equal(found, []string{object}) {
			t.Errorf("%s is damaged, check names %q", object, found)
		}
	}
	if len(seen) != 3 {
		t.Errorf("damaged was only %v", seen)
	}
	if found, notes := checked(t, w.store); len(found) > 0 || strings.Contains(notes, "keys/") {
		t.Errorf("nothing is damaged, check names %q, %s", found, notes)
	}
}

// TestCheckRemarksUponASlotOfAnotherRepository: the beginning of a slot, which says that,
// may be what is damaged.
func TestCheckRemarksUponASlotOfAnotherRepository(t *testing.T) {
	w, colleague := recorded(t)
	slot, err := open(t, w.store).SlotOf(t.Context(), colleague)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := w.store.Object("keys/" + slot)
	data[9] ^= 1
	w.store.Replace("keys/"+slot, data)
	if found, notes := checked(t, w.store); len(found) > 0 || !strings.Contains(notes, "keys/"+slot) {
		t.Errorf("check names %q, and remarks %q", found, notes)
	}
}

// TestCheckNamesASnapshotThatOnlyParityHas: on a machine that has not seen it, nothing
// else misses the newest.
func TestCheckNamesASnapshotThatOnlyParityHas(t *testing.T) {
	w := withParity(t, 20)
	if found, _ := checked(t, w.store); len(found) > 0 {
		t.Fatalf("nothing is missing, check names %q", found)
	}
	newest := "snapshots/" + w.snapshots[len(w.snapshots)-1].Name.String()
	if err := w.store.Delete(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	if found, _ := checked(t, w.store); !slices.Equal(found, []string{newest}) {
		t.Errorf("check names %q, want %s", found, newest)
	}
}
