package repair_test

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/repair"
)

// TestAnInterruptedMendingIsFinished, where the parity is gone by then: an object that
// was taken away to be put anew is only beneath mended/.
func TestAnInterruptedMendingIsFinished(t *testing.T) {
	w := withParity(t, 100)
	second, err := open(t, w.store).AddKey(t.Context(), repo.Secret{Password: []byte("second")}, repo.Slot{Cost: cheap, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	cover(t, w.store, 100)
	for _, object := range w.store.Names() {
		if object == "config" || strings.HasPrefix(object, "keys/") || strings.HasPrefix(object, "parity/groups/") {
			continue
		}
		t.Run(object, func(t *testing.T) {
			state := w.store.Clone()
			data, _ := state.Object(object)
			data[len(data)/2] ^= 1
			state.Replace(object, data)
			faulty := storagetest.NewFaulty(state)
			faulty.Inject(storagetest.Fault{Ops: storagetest.Put, Names: storagetest.Is(object), Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
				if _, there := state.Object(object); there {
					return do()
				}
				return syscall.EIO
			}})
			if _, err := repair.Run(t.Context(), open(t, faulty), options()); err == nil {
				t.Fatal("the repair was not interrupted")
			}
			if err := open(t, state).RemoveKey(t.Context(), second); err != nil {
				t.Fatal(err)
			}
			for _, group := range state.Names() {
				if strings.HasPrefix(group, "parity/groups/") {
					if err := open(t, state).DropParity(t.Context(), group); err != nil {
						t.Fatal(err)
					}
				}
			}
			mend(t, state)
			want := w.store.Clone()
			_ = want.Delete(t.Context(), "keys/"+second)
			mustBeAsBefore(t, want, state)
		})
	}
}

// TestWhatIsRemovedMeanwhileDoesNotComeBack: a repair was killed before it put a mended key
// slot in its place; then the key was removed.
func TestWhatIsRemovedMeanwhileDoesNotComeBack(t *testing.T) {
	w := withParity(t, 100)
	r := open(t, w.store)
	second, err := r.AddKey(t.Context(), repo.Secret{Password: []byte("second")}, repo.Slot{Cost: cheap, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	slot, _ := w.store.Object("keys/" + second)
	w.store.Replace("mended/keys/"+second, slot)
	if err := r.RemoveKey(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	mend(t, w.store)
	for _, object := range w.store.Names() {
		if strings.Contains(object, second) {
			t.Errorf("%s is there", object)
		}
	}
}
