package index

import (
	"encoding/binary"

	"holdfast/internal/blob"
)

// filter tells of most ids that a segment does not have that it does not, from
// memory. It is a Bloom filter in blocks of one cache line (Putze, Sanders,
// Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): an id sets
// one bit in each of the eight words of one block. Ids are hashes already, so
// their own bytes choose block and bits.
//
// With filterBits bits for each id about one unknown id in 200 is let through.
type filter [][8]uint64

const filterBits = 12

func newFilter(ids int) filter { return make(filter, ids*filterBits/512+1) }

func (f filter) add(id *blob.ID) {
	block, bits := f.place(id)
	for i := range block {
		block[i] |= 1 << (bits & 63)
		bits >>= 6
	}
}

// mayHave is true of every id that was added.
func (f filter) mayHave(id *blob.ID) bool {
	block, bits := f.place(id)
	missing := uint64(0)
	for i := range block {
		missing |= ^block[i] & (1 << (bits & 63))
		bits >>= 6
	}
	return missing == 0
}

// place returns the block of an id, and six bits for each of its words.
func (f filter) place(id *blob.ID) (block *[8]uint64, bits uint64) {
	return &f[binary.LittleEndian.Uint64(id[8:])%uint64(len(f))], binary.LittleEndian.Uint64(id[16:])
}
