package blake3

import (
	"encoding/binary"
	"math/bits"
)

// value is the chaining value of a node of the tree.
type value [8]uint32

// iv are the constants, and the key where there is none.
var iv = value{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// What a compression is told about its block.
const (
	chunkStart = 1 << iota
	chunkEnd
	parent
	root
	keyed
)

const (
	blockSize = 64
	chunkSize = 1024
)

func words(b *[32]byte) (v value) {
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return v
}

func (v *value) bytes() (b [32]byte) {
	for i, word := range v {
		binary.LittleEndian.PutUint32(b[4*i:], word)
	}
	return b
}

// compress returns the chaining value of a block of length bytes, the rest zero. It
// serves the last chunk, which is seldom whole, and the root.
func compress(before value, block *[blockSize]byte, length uint32, counter uint64, flags uint32) value {
	var m [16]uint32
	for i := range m {
		m[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	v := [16]uint32{
		before[0], before[1], before[2], before[3], before[4], before[5], before[6], before[7],
		iv[0], iv[1], iv[2], iv[3], uint32(counter), uint32(counter >> 32), length, flags,
	}
	for range 7 {
		mix(&v, 0, 4, 8, 12, m[0], m[1])
		mix(&v, 1, 5, 9, 13, m[2], m[3])
		mix(&v, 2, 6, 10, 14, m[4], m[5])
		mix(&v, 3, 7, 11, 15, m[6], m[7])
		mix(&v, 0, 5, 10, 15, m[8], m[9])
		mix(&v, 1, 6, 11, 12, m[10], m[11])
		mix(&v, 2, 7, 8, 13, m[12], m[13])
		mix(&v, 3, 4, 9, 14, m[14], m[15])
		m = [16]uint32{m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]}
	}
	for i := range before {
		before[i] = v[i] ^ v[8+i]
	}
	return before
}

func mix(v *[16]uint32, a, b, c, d int, x, y uint32) {
	v[a] += v[b] + x
	v[d] = bits.RotateLeft32(v[d]^v[a], -16)
	v[c] += v[d]
	v[b] = bits.RotateLeft32(v[b]^v[c], -12)
	v[a] += v[b] + y
	v[d] = bits.RotateLeft32(v[d]^v[a], -8)
	v[c] += v[d]
	v[b] = bits.RotateLeft32(v[b]^v[c], -7)
}
