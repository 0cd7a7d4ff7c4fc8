package blob

import (
	"fmt"
	"testing"
)

// The vectors are from the BLAKE3 project's own test_vectors.json (key
// "whats the Elvish word for friend", input 0, 1, 2 … of the given length).
func TestIDIsKeyedBLAKE3(t *testing.T) {
	h := NewHasher(Key([]byte("whats the Elvish word for friend")))
	for n, want := range map[int]string{
		0: "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
		1: "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
	} {
		data := make([]byte, n)
		if got := h.ID(data).String(); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestParseID(t *testing.T) {
	id := NewHasher(Key{}).ID([]byte("x"))
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "12", id.String()[1:] + "g", id.String() + "00"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func BenchmarkID(b *testing.B) {
	h := NewHasher(Key{1})
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				h.ID(data)
			}
		})
	}
}
