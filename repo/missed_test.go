package repo

import (
	"encoding/binary"
	"testing"

	"holdfast/internal/blob"
	"holdfast/repo/pack"
)

// TestMoreIsMissedThanThereIsRoomFor: then anything may be.
func TestMoreIsMissedThanThereIsRoomFor(t *testing.T) {
	var m Missed
	other := []pack.Placed{{Blob: pack.Blob{ID: blob.ID{31: 1}}}}
	for i := range maxMissed + 1 {
		if m.Any(other) || m.None() != (i == 0) {
			t.Fatalf("%d are missed, and another one passes for one: %v", i, m.Any(other))
		}
		var id blob.ID
		binary.LittleEndian.PutUint32(id[:], uint32(i))
		m.Add(id)
	}
	if !m.Any(other) || m.Len() != maxMissed {
		t.Errorf("%d of more are known, and another one is not said to be missed", m.Len())
	}
}
