package chunk

import "math/bits"

const (
	window = 64 // bytes that a digest covers
	degree = 53 // of the polynomial
)

// finder finds the positions p in data, in any order, at which the lowest bits of
// the digest of data[p-window:p] are zero.
type finder struct {
	lanes  bool    // the shortest chunk is worth a block
	vector *vector // nil where there is none
	mask   uint64  // of the bits that are zero at a cut
	// A digest d is rolled on by one byte: the product d·x^8 has degree 60 at most,
	// and carry[its bits above 52] both clears and reduces them.
	carry [256]uint64
	// What the byte b that leaves the window still adds to that product: b·x^512.
	leave [256]uint64
}

func (f *finder) init(p Polynomial, s Sizes) {
	f.mask = uint64(s.Average) - 1
	f.lanes = s.Min >= blockSpan
	tabulate(&f.carry, uint64(p), degree)
	for b := range f.carry {
		f.carry[b] ^= uint64(b) << degree
	}
	tabulate(&f.leave, uint64(p), 8*window)
	f.vector = newVector(f, p, s)
}

// tabulate sets table[b] to b·x^shift mod p.
func tabulate(table *[256]uint64, p uint64, shift int) {
	power := uint64(1)
	for i := range shift + 8 {
		if i >= shift {
			bit := 1 << (i - shift)
			for b := range bit {
				table[bit+b] = table[b] ^ power
			}
		}
		power <<= 1
		if bits.Len64(power) > degree {
			power ^= p
		}
	}
}

func (f *finder) roll(digest uint64, in, out byte) uint64 {
	// The look-up of the carry is what the next step waits for.
	return digest<<8 ^ uint64(in) ^ f.leave[out] ^ f.carry[byte(digest>>(degree-8))]
}

// digest returns that of the window that ends at position p.
func (f *finder) digest(data []byte, p int) (d uint64) {
	for _, b := range data[p-window : p] {
		d = f.roll(d, b, 0)
	}
	return d
}

func (f *finder) isCut(data []byte, p int) bool { return f.digest(data, p)&f.mask == 0 }

// find returns the first cut at p or behind it, or 0.
func (f *finder) find(data []byte, p int) (cut int) {
	if f.vector != nil {
		if cut, p = f.findInVectors(data, p); cut != 0 {
			return cut
		}
	}
	for f.lanes && p+blockSpan <= len(data) {
		if cut = f.findInLanes(data, p); cut != 0 {
			return cut
		}
		p += blockSpan
	}
	return f.findAlone(data, p)
}

// findAlone does what find does with one running digest.
func (f *finder) findAlone(data []byte, p int) int {
	d := f.digest(data, p)
	out := data[p-window:]
	for i, b := range data[p:] {
		if d&f.mask == 0 {
			return p + i
		}
		d = f.roll(d, b, out[i])
	}
	if d&f.mask == 0 {
		return len(data)
	}
	return 0
}
