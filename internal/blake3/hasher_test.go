package blake3

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

// reference is what is hashed by the library, with a key where there is one.
func reference(t testing.TB, key *[32]byte, data []byte) (sum [Size]byte) {
	t.Helper()
	h := blake3.New()
	if key != nil {
		var err error
		if h, err = blake3.NewKeyed(key[:]); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = h.Write(data)
	h.Sum(sum[:0])
	return sum
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// Lengths at which the tree has another shape, or a last chunk, block or register
// that is not full.
func lengths() (all []int) {
	for _, near := range []int{0, blockSize, chunkSize, 2 * chunkSize, worthATree, 15 * chunkSize, 16 * chunkSize, 17 * chunkSize, 31 * chunkSize,
		span / 2, span, 2 * span, 3 * span, 4 * span, 7 * span, 9*span + 5*chunkSize} {
		for _, by := range []int{-blockSize - 1, -blockSize, -1, 0, 1, blockSize, blockSize + 1, chunkSize - 1} {
			if near+by >= 0 {
				all = append(all, near+by)
			}
		}
	}
	return all
}

func TestEveryLengthIsHashedAsByTheReference(t *testing.T) {
	key := [32]byte([]byte("whats the Elvish word for friend"))
	data := randomBytes(11 * span)
	plain, keyed := New(), NewKeyed(key)
	for _, n := range lengths() {
		if got, want := plain.Hash(data[:n]), reference(t, nil, data[:n]); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
		if got, want := keyed.Hash(data[:n]), reference(t, &key, data[:n]); got != want {
			t.Errorf("%d bytes with a key: %x, want %x", n, got, want)
		}
		if got, want := Sum256(data[:n]), reference(t, nil, data[:n]); got != want {
			t.Errorf("Sum256 of %d bytes: %x, want %x", n, got, want)
		}
	}
}

// All lengths up to some chunks, in parts that end anywhere, with a look at the hash
// in between.
func TestPartsMakeTheWhole(t *testing.T) {
	data := randomBytes(4*span + 5000)
	random := rand.New(rand.NewPCG(1, 2))
	h := New()
	for range 300 {
		h.Reset()
		whole := data[:random.IntN(len(data))]
		for rest := whole; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1<<random.IntN(19)))
			_, _ = h.Write(rest[:n])
			rest = rest[n:]
			if random.IntN(4) == 0 {
				done := whole[:len(whole)-len(rest)]
				if got := h.Sum(); got != reference(t, nil, done) {
					t.Fatalf("%d bytes of %d: %x", len(done), len(whole), got)
				}
			}
		}
		if got := h.Sum(); got != reference(t, nil, whole) {
			t.Fatalf("%d bytes: %x", len(whole), got)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	h, data := NewKeyed([32]byte{1}), randomBytes(3*span+7)
	if n := testing.AllocsPerRun(20, func() { h.Hash(data) }); n != 0 {
		t.Errorf("%v allocations for each hash", n)
	}
}

func FuzzHash(f *testing.F) {
	f.Add([]byte("abc"), uint32(5000), []byte{})
	f.Add([]byte{0}, uint32(span+1), bytes.Repeat([]byte{1}, 32))
	f.Fuzz(func(t *testing.T, pattern []byte, length uint32, key []byte) {
		data := bytes.Repeat(append(pattern, byte(length)), int(length%(5*span))/(len(pattern)+1)+1)
		h, against := New(), (*[32]byte)(nil)
		if len(key) >= 32 {
			against = (*[32]byte)(key)
			h = NewKeyed(*against)
		}
		want := reference(t, against, data)
		if got := h.Hash(data); got != want {
			t.Errorf("%d bytes: %x, want %x", len(data), got, want)
		}
		h.Reset()
		cut := int(length) % len(data)
		_, _ = h.Write(data[:cut])
		_, _ = h.Write(data[cut:])
		if got := h.Sum(); got != want {
			t.Errorf("%d bytes, cut at %d: %x, want %x", len(data), cut, got, want)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := NewKeyed([32]byte{1})
	old, _ := blake3.NewKeyed(make([]byte, 32))
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		data := randomBytes(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				h.Hash(data)
			}
		})
		b.Run(fmt.Sprintf("reference/%dKiB", size>>10), func(b *testing.B) {
			var sum [Size]byte
			b.SetBytes(int64(size))
			for b.Loop() {
				old.Reset()
				_, _ = old.Write(data)
				old.Sum(sum[:0])
			}
		})
	}
}
