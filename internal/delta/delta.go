// Package delta describes bytes as copies from other bytes, the bases, and
// literals for what is new: the payload of a delta blob (docs/format.md,
// section 4).
//
// The coder indexes every twelfth position of the bases by the eight bytes that
// stand there, looks every position of the target up, and extends a match to
// both sides. Decoding trusts nothing.
package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

const (
	// MaxBases is the largest number of bases of one delta.
	MaxBases = 8
	// MaxLength is the largest target that Apply makes, in bytes.
	MaxLength = 16 << 20

	stride   = 12 // distance of indexed base positions
	seed     = 8  // bytes compared by the index
	minMatch = 16 // shorter copies cost more than they save
)

// ErrInvalid is wrapped by Apply for anything that no Encode can have written
// for these bases.
var ErrInvalid = errors.New("invalid delta")

// Encoder holds the tables of one encoding after the other. It serves one
// goroutine at a time; the zero value is ready.
type Encoder struct {
	table    []uint32 // hash -> position in the bases laid end to end, plus one
	shift    uint8
	starts   []int // of each base in that
	ends     []int // of the previous copy from each base
	ops      []byte
	literals []byte
}

// Encode appends to dst the delta that makes target from bases, of which there
// are one to MaxBases. Applying it gives exactly target, however unlike the
// bases are; whether it is worth storing is the caller's decision.
func (e *Encoder) Encode(dst, target []byte, bases [][]byte) []byte {
	e.index(bases)
	e.ops, e.literals = e.ops[:0], e.literals[:0]
	operations, from := 0, 0
	for at := 0; at+seed <= len(target); {
		base, offset := e.find(target[at:], bases)
		if base < 0 {
			at++
			continue
		}
		back := commonSuffix(target[from:at], bases[base][:offset])
		length := back + commonPrefix(target[at:], bases[base][offset:])
		if length < minMatch {
			at++
			continue
		}
		if literal := target[from : at-back]; len(literal) > 0 {
			e.literal(literal)
			operations++
		}
		e.copy(base, offset-back, length, len(bases))
		operations++
		at += length - back
		from = at
	}
	if from < len(target) {
		e.literal(target[from:])
		operations++
	}
	dst = binary.AppendUvarint(dst, uint64(operations))
	dst = append(dst, e.ops...)
	return append(dst, e.literals...)
}

func (e *Encoder) literal(data []byte) {
	e.ops = binary.AppendUvarint(e.ops, uint64(len(data))<<1)
	e.literals = append(e.literals, data...)
}

func (e *Encoder) copy(base, offset, length, bases int) {
	e.ops = binary.AppendUvarint(e.ops, uint64(length)<<1|1)
	if bases > 1 {
		e.ops = binary.AppendUvarint(e.ops, uint64(base))
	}
	e.ops = binary.AppendVarint(e.ops, int64(offset-e.ends[base]))
	e.ends[base] = offset + length
}

func (e *Encoder) index(bases [][]byte) {
	total := 0
	e.starts, e.ends = e.starts[:0], e.ends[:0]
	for _, b := range bases {
		e.starts = append(e.starts, total)
		e.ends = append(e.ends, 0)
		total += len(b)
	}
	width := max(10, bits.Len(uint(total/stride))+1)
	if size := 1 << width; cap(e.table) >= size {
		e.table = e.table[:size]
		clear(e.table)
	} else {
		e.table = make([]uint32, size)
	}
	e.shift = uint8(64 - width)
	for i, b := range bases {
		for at := 0; at+seed <= len(b); at += stride {
			// The first of equal positions stays: runs then copy from their start.
			if slot := &e.table[e.hash(b[at:])]; *slot == 0 {
				*slot = uint32(e.starts[i]+at) + 1
			}
		}
	}
}

func (e *Encoder) hash(p []byte) uint64 {
	return binary.LittleEndian.Uint64(p) * 0x9E3779B97F4A7C15 >> e.shift
}

// find returns a base and the offset in it where the bytes at p stand, or -1.
func (e *Encoder) find(p []byte, bases [][]byte) (base, offset int) {
	slot := e.table[e.hash(p)]
	if slot == 0 {
		return -1, 0
	}
	position := int(slot - 1)
	base = len(e.starts) - 1
	for e.starts[base] > position {
		base--
	}
	offset = position - e.starts[base]
	if binary.LittleEndian.Uint64(bases[base][offset:]) != binary.LittleEndian.Uint64(p) {
		return -1, 0
	}
	return base, offset
}

func commonPrefix(a, b []byte) int {
	n, limit := 0, min(len(a), len(b))
	for n+8 <= limit {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
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
	for n < limit && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// Apply appends to dst the length bytes that payload makes from bases.
func Apply(dst, payload []byte, bases [][]byte, length int) ([]byte, error) {
	bad := func(why string) ([]byte, error) { return dst, fmt.Errorf("%w: %s", ErrInvalid, why) }
	if length < 0 || length > MaxLength || len(bases) == 0 || len(bases) > MaxBases {
		return bad("length or number of bases out of range")
	}
	ops := &reader{rest: payload}
	operations := ops.uvarint()
	literals, err := literalsOf(*ops, operations, len(bases))
	if err != nil {
		return dst, err
	}
	var ends [MaxBases]int
	left := length
	for range operations {
		head := ops.uvarint()
		n := head >> 1
		if n == 0 || n > uint64(left) {
			return bad("operation longer than the target")
		}
		left -= int(n)
		if head&1 == 0 {
			if n > uint64(len(literals)) {
				return bad("literals run out")
			}
			dst = append(dst, literals[:n]...)
			literals = literals[n:]
			continue
		}
		base := uint64(0)
		if len(bases) > 1 {
			base = ops.uvarint()
		}
		if base >= uint64(len(bases)) {
			return bad("no such base")
		}
		step := ops.varint()
		from := ends[base] + int(step)
		if step > MaxLength || step < -MaxLength || from < 0 || from > len(bases[base]) || int(n) > len(bases[base])-from {
			return bad("copy outside its base")
		}
		dst = append(dst, bases[base][from:from+int(n)]...)
		ends[base] = from + int(n)
	}
	if left != 0 || len(literals) != 0 {
		return bad("lengths do not add up")
	}
	return dst, nil
}

// literalsOf skips the operations and returns what follows them.
func literalsOf(ops reader, operations uint64, bases int) ([]byte, error) {
	if operations > uint64(len(ops.rest)) {
		return nil, fmt.Errorf("%w: more operations than bytes", ErrInvalid)
	}
	for range operations {
		if head := ops.uvarint(); head&1 == 1 {
			if bases > 1 {
				ops.uvarint()
			}
			ops.varint()
		}
	}
	if ops.failed {
		return nil, fmt.Errorf("%w: operations end early", ErrInvalid)
	}
	return ops.rest, nil
}

// reader reads varints; after a failure it yields zeros.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return advance(r, v, n)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return advance(r, v, n)
}

func advance[T int64 | uint64](r *reader, v T, n int) T {
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
