//go:build amd64 && !purego

package blake3

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd avx512gen && go run . >../vector_amd64.s"

// compress16AVX512 compresses sixteen inputs of as many blocks as it is told, each
// stride bytes behind the one before, and stores the words of their values, each
// word of all sixteen together. The flags are first for the first block, last for
// the last, and middle for all.
//
//go:noescape
func compress16AVX512(values, constants, data *byte, stride, blocks int, first, middle, last uint32)

// wide is whether this machine can do it. Older processors than those that have
// VBMI2 can too, but slow down for it.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VBMI2

// width is how many inputs are compressed at once.
const width = 16

// lanes compresses width inputs at once.
type lanes struct {
	constants struct { // as the assembler knows them
		key         value
		iv          [4]uint32
		_           [4]uint32
		counterLow  [width]uint32
		counterHigh [width]uint32
	}
	values [8][width]uint32 // word by word
}

func newLanes(key value) lanes {
	var l lanes
	l.constants.key, l.constants.iv = key, [4]uint32(iv[:4])
	return l
}

// count gives the inputs numbers, of which the first is given.
func (l *lanes) count(first uint64) {
	for i := range width {
		n := first + uint64(i)
		l.constants.counterLow[i], l.constants.counterHigh[i] = uint32(n), uint32(n>>32)
	}
}

// uncounted gives all inputs the number zero, as parents have it.
func (l *lanes) uncounted() {
	clear(l.constants.counterLow[:])
	clear(l.constants.counterHigh[:])
}

// compress reads data for width inputs of so many blocks, one behind the other.
func (l *lanes) compress(data []byte, blocks int, first, middle, last uint32) {
	_ = data[width*blocks*blockSize-1]
	compress16AVX512((*byte)(unsafe.Pointer(&l.values)), (*byte)(unsafe.Pointer(&l.constants)), &data[0], blocks*blockSize, blocks, first, middle, last)
}

// store puts the values of the first n inputs one behind the other.
func (l *lanes) store(to []byte, n int) {
	for i := range n {
		for j := range l.values {
			binary.LittleEndian.PutUint32(to[Size*i+4*j:], l.values[j][i])
		}
	}
}
