package delta

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// match says that length bytes from at of the target stand at offset of a base.
// Without length there is none.
type match struct{ at, base, offset, length int }

// cursor is where in the bases the target is expected to go on.
type cursor struct{ base, offset int }

// follow compares the target with what is expected. The last bytes of the target
// match however few they are.
func (c *cursor) follow(target []byte, from int, bases [][]byte) match {
	if c.offset >= len(bases[c.base]) && c.base+1 < len(bases) {
		c.base, c.offset = c.base+1, 0
	}
	c.offset = min(c.offset, len(bases[c.base]))
	n := commonPrefix(target[from:], bases[c.base][c.offset:])
	if n < minMatch && from+n < len(target) {
		n = 0
	}
	return match{from, c.base, c.offset, n}
}

// afterReplacement looks behind a few bytes that were replaced by as many.
func (c *cursor) afterReplacement(target []byte, from int, bases [][]byte) match {
	const longest = 64
	old := bases[c.base][c.offset:]
	end := min(longest, len(target)-from-minMatch, len(old)-minMatch)
	for n := 1; n <= end; n++ {
		if load(target, from+n) != load(old, n) {
			continue
		}
		if length := commonPrefix(target[from+n:], old[n:]); length >= minMatch {
			return match{from + n, c.base, c.offset + n, length}
		}
	}
	return match{}
}

// advance moves over passed bytes of the target, at whose end m was found. The
// target goes on at a convincing match; a short one may be there by chance.
func (c *cursor) advance(m match, passed int) {
	if m.length >= convincing {
		c.base, c.offset = m.base, m.offset+m.length
	} else {
		c.offset += passed
	}
}

func load(p []byte, at int) uint64 { return binary.LittleEndian.Uint64(p[at:]) }

func commonPrefix(a, b []byte) int {
	const block = 256
	n, limit := 0, min(len(a), len(b))
	a, b = a[:limit], b[:limit]
	for n+block <= limit && bytes.Equal(a[n:n+block], b[n:n+block]) {
		n += block
	}
	for n+8 <= limit {
		if x := load(a, n) ^ load(b, n); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) int {
	n, limit := 0, min(len(a), len(b))
	a, b = a[len(a)-limit:], b[len(b)-limit:]
	for n+8 <= limit {
		if x := load(a, limit-n-8) ^ load(b, limit-n-8); x != 0 {
			return n + bits.LeadingZeros64(x)/8
		}
		n += 8
	}
	for n < limit && a[limit-1-n] == b[limit-1-n] {
		n++
	}
	return n
}
