//go:build amd64 && !purego

package chunk

import (
	"math/bits"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd avx2gen && go run . >../vector_amd64.s"

// transposeAVX2 writes the columns of count bytes of each lane; lane k starts at
// data[k*span]. Count is a multiple of 16.
//
//go:noescape
func transposeAVX2(columns, data *byte, span, count int)

// scanAVX2 warms up with 64 columns and looks at as many positions of each lane
// as span says. It returns a bit for each lane in which the lowest two bytes of a
// digest were zero under the mask. Meanwhile it has the cache fetch the block
// behind the one that starts at data.
//
//go:noescape
func scanAVX2(tables, columns *byte, span int, data *byte) uint32

const (
	vectorLanes  = 32
	longestSpan  = 256 // positions that a lane looks at: data and columns fit the first cache
	shortestSpan = window
)

// vector looks at 32 lanes at once with AVX2. The lanes' bytes are turned into
// columns, each a register with one byte of each lane. A digest lies in seven
// registers, one for each of its bytes, so to multiply it by x^8 is to go one
// register on; and what a byte adds is looked up by nibbles, because VPSHUFB
// looks 32 nibbles up at once in a table of 16 bytes.
//
// The digests here have 56 bits, the topmost three not yet reduced by the
// polynomial. Only the lowest two bytes are reduced, and asked for zero; the
// lanes where they ever were are gone through again in plain Go.
type vector struct {
	span   int      // of a block that is long enough
	tables struct { // in the order that the assembler knows, each [low, high nibble]
		carry  [7][2][16]byte // for each byte of the digest, what its topmost byte adds
		leave  [7][2][16]byte // and what the byte that leaves the window adds
		reduce [2][16]byte    // for the two lowest bytes, by the topmost nibble
		nibble [16]byte
		mask   [16]byte // of the second lowest byte, the bits that are zero at a cut
	}
	columns [(window + longestSpan) * vectorLanes]byte
}

// newVector returns nil where the machine or the system cannot do it, or where
// the shortest chunk is not worth a block. Since Average is not below Min, the
// mask has the whole lowest byte of the digest.
func newVector(f *finder, p Polynomial, s Sizes) *vector {
	span := min(longestSpan, int(s.Min)/vectorLanes&^15)
	if !cpu.X86.HasAVX2 || span < shortestSpan {
		return nil
	}
	v := &vector{span: span}
	var carry [256]uint64
	tabulate(&carry, uint64(p), 56)
	byNibble(&v.tables.carry, &carry)
	byNibble(&v.tables.leave, &f.leave)
	for top := range 16 {
		over := f.carry[top>>1] // the digest's bits from 53 on
		v.tables.reduce[0][top] = byte(over)
		v.tables.reduce[1][top] = byte(over >> 8)
		v.tables.nibble[top] = 0x0f
		v.tables.mask[top] = byte(f.mask >> 8)
	}
	return v
}

func byNibble(to *[7][2][16]byte, from *[256]uint64) {
	for i := range to {
		for n := range 16 {
			to[i][0][n] = byte(from[n] >> (8 * i))
			to[i][1][n] = byte(from[n<<4] >> (8 * i))
		}
	}
}

// findInVectors returns the first cut from p on, or 0 and the position up to which
// it looked, which is less than vectorLanes*shortestSpan from the end.
func (f *finder) findInVectors(data []byte, p int) (cut, next int) {
	v := f.vector
	for {
		span := min(v.span, (len(data)-p)/vectorLanes&^15)
		if span < shortestSpan {
			return 0, p
		}
		transposeAVX2(&v.columns[0], &data[p-window], span, window+span)
		found := scanAVX2(&v.tables.carry[0][0][0], &v.columns[0], span, &data[p])
		for ; found != 0; found &= found - 1 {
			lane := p + bits.TrailingZeros32(found)*span
			if cut := f.findAlone(data[:lane+span-1], lane); cut != 0 {
				return cut, cut
			}
		}
		p += vectorLanes * span
	}
}
