package trace

import (
	"iter"
	"math/bits"
	"slices"
)

// Bits is a set of places.
type Bits []uint64

// NewBits returns the empty set of places below n.
func NewBits(n int) Bits { return make(Bits, (n+63)/64) }

// Has reports whether a place is in the set.
func (b Bits) Has(place int) bool { return b[place/64]>>(place%64)&1 == 1 }

// Set adds a place.
func (b Bits) Set(place int) { b[place/64] |= 1 << (place % 64) }

// Count returns the number of places in the set.
func (b Bits) Count() int {
	n := 0
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// All yields the places in the set, ascending.
func (b Bits) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(64*i + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// Clone returns a set of its own with the same places.
func (b Bits) Clone() Bits { return slices.Clone(b) }
