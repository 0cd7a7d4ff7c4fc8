package activity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

func TestForgetRemovesWhatEndedLongAgo(t *testing.T) {
	m := newMemory()
	names := map[string]string{}
	for i, c := range []struct {
		name  string
		state State
		age   time.Duration
	}{
		{"complete, long ago", Complete, 100 * time.Hour},
		{"failed, long ago", Failed, 100 * time.Hour},
		{"silent, long ago", InProgress, 100 * time.Hour},
		{"complete, lately", Complete, time.Hour},
		{"in progress", InProgress, time.Second},
		{"silent, lately", InProgress, time.Hour},
	} {
		r := record(on("web1"))
		r.Activity = fmt.Sprintf("%020x", i+1)
		r.State, r.Started, r.Updated = c.state, testTime.Add(-c.age), testTime.Add(-c.age)
		if c.state != InProgress {
			r.Finished = r.Updated
		}
		put(t, m, 1, r)
		put(t, m, 2, r)
		names[r.Activity] = c.name
	}
	const damaged = "activities/00000000000000000000/00000001"
	m.objects[damaged] = []byte("damaged")
	if n, err := Forget(t.Context(), m, testTime.Add(-50*time.Hour), testTime); n != 3 || !errors.Is(err, ErrInvalid) {
		t.Errorf("%d forgotten, %v", n, err)
	}
	if m.objects[damaged] == nil {
		t.Error("what cannot be read was removed")
	}
	delete(m.objects, damaged)
	left := map[string]bool{}
	for object := range m.objects {
		left[names[object[len("activities/"):][:20]]] = true
	}
	want := []string{"complete, lately", "in progress", "silent, lately"}
	if got := slices.Sorted(maps.Keys(left)); !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
}
