package corpus

import (
	"encoding/binary"
	"math/bits"
)

// A source yields numbers that depend on its start alone (SplitMix64). It is
// written out here because the standard library does not promise the same
// numbers for ever, and a corpus must not change with the Go version.
type source uint64

// newSource returns the source of one thing: a file, a row, a day.
func newSource(seed uint64, parts ...uint64) *source {
	s := source(seed)
	for _, part := range parts {
		s = source(s.next() ^ part*0x9e3779b97f4a7c15)
	}
	return &s
}

func (s *source) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (s *source) below(n int) int {
	high, _ := bits.Mul64(s.next(), uint64(n))
	return int(high)
}

// between returns a number in [low, high).
func (s *source) between(low, high int) int { return low + s.below(high-low) }

// chance is true in millionths of a million cases.
func (s *source) chance(millionths int) bool { return s.below(1_000_000) < millionths }

// noise fills b with incompressible bytes.
func (s *source) noise(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, s.next())
		b = b[8:]
	}
	for i, rest := 0, s.next(); i < len(b); i++ {
		b[i] = byte(rest >> (8 * i))
	}
}
