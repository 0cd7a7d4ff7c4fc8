package blake3

import "github.com/zeebo/blake3"

// Size is the length of a hash in bytes.
const Size = 32

// A Hasher hashes what is written to it. It keeps its memory between hashes; one
// Hasher serves one goroutine at a time.
type Hasher struct {
	short *blake3.Hasher
	tree  *tree // nil where the machine cannot do it
}

// New returns a Hasher of plain hashes.
func New() *Hasher { return &Hasher{short: blake3.New(), tree: newTree(iv, 0)} }

// NewKeyed returns a Hasher of hashes with a key.
func NewKeyed(key [32]byte) *Hasher {
	short, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic("blake3: a 32-byte key was refused: " + err.Error())
	}
	return &Hasher{short: short, tree: newTree(words(&key), keyed)}
}

// Sum256 returns the plain hash of data.
func Sum256(data []byte) [Size]byte {
	if len(data) < worthATree {
		return blake3.Sum256(data)
	}
	return New().Hash(data)
}

// Hash returns the hash of data alone, and forgets what was written before.
func (h *Hasher) Hash(data []byte) (sum [Size]byte) {
	if h.tree != nil && len(data) >= worthATree {
		h.tree.reset()
		return h.tree.sum(h.tree.pushAll(data))
	}
	h.short.Reset()
	_, _ = h.short.Write(data) // never fails
	h.short.Sum(sum[:0])
	return sum
}

// Reset forgets what was written.
func (h *Hasher) Reset() {
	if h.tree != nil {
		h.tree.reset()
	} else {
		h.short.Reset()
	}
}

// Write adds data to what is hashed. It never fails.
func (h *Hasher) Write(data []byte) (int, error) {
	if h.tree == nil {
		return h.short.Write(data)
	}
	h.tree.write(data)
	return len(data), nil
}

// Sum returns the hash of all that was written; more can be written afterwards.
func (h *Hasher) Sum() (sum [Size]byte) {
	if h.tree != nil {
		return h.tree.sum(h.tree.pending)
	}
	h.short.Sum(sum[:0])
	return sum
}
