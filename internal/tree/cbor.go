package tree

import (
	"encoding/binary"
	"math/bits"
)

// What an entry needs of CBOR (RFC 8949), in its canonical form only: shortest
// heads, definite lengths.

type major byte

const (
	majorUint     major = 0 << 5
	majorNegative major = 1 << 5
	majorBytes    major = 2 << 5
	majorArray    major = 4 << 5
	majorMap      major = 5 << 5

	yes  = 0xf5
	null = 0xf6
)

func appendHead(dst []byte, m major, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, byte(m)|byte(n))
	case n < 1<<8:
		return append(dst, byte(m)|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, byte(m)|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, byte(m)|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, byte(m)|27), n)
}

func appendBytes[T string | []byte](dst []byte, s T) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(s))), s...)
}

// mapWriter writes a map of up to 23 pairs, whose keys are below 24 and come in
// ascending order.
type mapWriter struct {
	out   []byte
	at    int // where the map's head stands
	pairs byte
}

func (w *mapWriter) key(k byte) {
	w.out = append(w.out, k)
	w.pairs++
}

func (w *mapWriter) uint(k byte, n uint64) {
	w.key(k)
	w.out = appendHead(w.out, majorUint, n)
}

func (w *mapWriter) optional(k byte, n uint64) {
	if n != 0 {
		w.uint(k, n)
	}
}

func (w *mapWriter) bytes(k byte, s string) {
	w.key(k)
	w.out = appendBytes(w.out, s)
}

func (w *mapWriter) optionalBytes(k byte, s string) {
	if s != "" {
		w.bytes(k, s)
	}
}

func (w *mapWriter) time(k byte, t Time) {
	w.key(k)
	w.out = appendHead(w.out, majorArray, 2)
	if t.Sec < 0 {
		w.out = appendHead(w.out, majorNegative, uint64(-(t.Sec + 1)))
	} else {
		w.out = appendHead(w.out, majorUint, uint64(t.Sec))
	}
	w.out = appendHead(w.out, majorUint, uint64(t.Nsec))
}

func (w *mapWriter) finish() []byte {
	w.out[w.at] = byte(majorMap) | w.pairs
	return w.out
}

// parser takes bytes apart. The first fault stays, and everything after it
// yields nothing, so that one look at the end is enough.
type parser struct {
	data  []byte
	at    int // a place, not a shorter slice: moving on writes no pointer
	fault string
}

func (p *parser) fail(why string) {
	if p.fault == "" {
		p.fault = why
	}
	p.at = len(p.data)
}

func (p *parser) left() int { return len(p.data) - p.at }

// head reads a head of the major type m.
func (p *parser) head(m major) uint64 {
	if p.left() == 0 {
		p.fail("ends early")
		return 0
	}
	first := p.data[p.at]
	if major(first&0xe0) != m {
		p.fail("another type than it has to be")
		return 0
	}
	short := uint64(first & 0x1f)
	if short < 24 {
		p.at++
		return short
	}
	if short > 27 {
		p.fail("no definite length")
		return 0
	}
	size := 1 << (short - 24)
	if p.left() <= size {
		p.fail("ends early")
		return 0
	}
	var n uint64
	for _, b := range p.data[p.at+1 : p.at+1+size] {
		n = n<<8 | uint64(b)
	}
	if n < 24 || size > 1 && bits.Len64(n) <= size*4 {
		p.fail("not the shortest form")
		return 0
	}
	p.at += 1 + size
	return n
}

// uint reads a number from lowest to highest.
func (p *parser) uint(lowest, highest uint64) uint64 {
	n := p.head(majorUint)
	if n < lowest || n > highest {
		p.fail("a number out of range")
		return 0
	}
	return n
}

// bytes reads a string; the caller must not keep it.
func (p *parser) bytes() []byte {
	n := p.head(majorBytes)
	if n > uint64(p.left()) {
		p.fail("ends early")
		return nil
	}
	from := p.at
	p.at += int(n)
	return p.data[from:p.at]
}

// someBytes is bytes where nothing at all would have been left out.
func (p *parser) someBytes() []byte {
	s := p.bytes()
	if len(s) == 0 {
		p.fail("empty, and not left out")
	}
	return s
}

// array reads the head of an array of pairs, which is not empty, and is not
// believed further than there are bytes for it.
func (p *parser) array() uint64 {
	const leastPair = 3
	n := p.head(majorArray)
	if n == 0 || n > maxItems || n > uint64(p.left()/leastPair) {
		p.fail("a list that is empty or too long")
		return 0
	}
	return n
}

// pair reads the head of an array of two.
func (p *parser) pair() {
	if p.head(majorArray) != 2 {
		p.fail("no pair")
	}
}

func (p *parser) time() Time {
	p.pair()
	var t Time
	if p.left() > 0 && major(p.data[p.at]&0xe0) == majorNegative {
		t.Sec = -1 - int64(p.below(majorNegative))
	} else {
		t.Sec = int64(p.below(majorUint))
	}
	t.Nsec = uint32(p.uint(0, 1<<32-1))
	return t
}

// below reads a head below 1<<63.
func (p *parser) below(m major) uint64 {
	n := p.head(m)
	if n >= 1<<63 {
		p.fail("a number out of range")
		return 0
	}
	return n
}

// take reports whether the next byte is b, and passes over it then.
func (p *parser) take(b byte) bool {
	if p.left() == 0 || p.data[p.at] != b {
		return false
	}
	p.at++
	return true
}

func (p *parser) null() bool { return p.take(null) }

func (p *parser) yes() bool {
	if !p.take(yes) {
		p.fail("not true, and not left out")
	}
	return p.fault == ""
}
