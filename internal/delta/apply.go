package delta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrInvalid is wrapped by Apply for anything that no Encode can have written
// for these bases.
var ErrInvalid = errors.New("invalid delta")

// Apply appends to dst the length bytes that payload makes from bases.
func Apply(dst, payload []byte, bases [][]byte, length int) ([]byte, error) {
	d, err := newDecoder(payload, lengthsOf(bases), len(bases), length)
	if err != nil {
		return dst, err
	}
	for d.left > 0 {
		p, err := d.next()
		if err != nil {
			return dst, err
		}
		dst = append(dst, p.from(bases)...)
	}
	return dst, d.end()
}

// Makes reports whether Apply makes target, without making it.
func Makes(target, payload []byte, bases [][]byte) bool {
	d, err := newDecoder(payload, lengthsOf(bases), len(bases), len(target))
	if err != nil {
		return false
	}
	for d.left > 0 {
		at := len(target) - d.left
		p, err := d.next()
		if err != nil || !bytes.Equal(p.from(bases), target[at:at+p.length]) {
			return false
		}
	}
	return d.end() == nil
}

func lengthsOf(bases [][]byte) (lengths [MaxBases]int) {
	for i, b := range bases[:min(len(bases), MaxBases)] {
		lengths[i] = len(b)
	}
	return lengths
}

// decoder yields what the operations of a payload do, checked.
type decoder struct {
	ops        reader
	operations uint64 // left
	literals   []byte // left
	left       int    // of the target
	bases      int
	lengths    [MaxBases]int
	ends       [MaxBases]int // of the previous copies
}

// part is a copy of length bytes from offset of a base, or a literal, whose base
// is below zero.
type part struct {
	base, offset, length int
	literal              []byte
}

func (p *part) from(bases [][]byte) []byte {
	if p.base < 0 {
		return p.literal
	}
	return bases[p.base][p.offset : p.offset+p.length]
}

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalid, why) }

func newDecoder(payload []byte, lengths [MaxBases]int, bases, length int) (decoder, error) {
	if length < 0 || length > MaxLength || bases == 0 || bases > MaxBases {
		return decoder{}, invalid("length or number of bases out of range")
	}
	d := decoder{ops: reader{rest: payload}, left: length, bases: bases, lengths: lengths}
	d.operations = d.ops.uvarint()
	var err error
	d.literals, err = literalsOf(d.ops, d.operations, bases)
	return d, err
}

// next returns the next part, of which there is one while left is positive.
func (d *decoder) next() (part, error) {
	if d.operations == 0 {
		return part{}, invalid("operations end early")
	}
	d.operations--
	head := d.ops.uvarint()
	n := head >> 1
	if n == 0 || n > uint64(d.left) {
		return part{}, invalid("operation longer than the target")
	}
	p := part{base: -1, length: int(n)}
	d.left -= p.length
	if head&1 == 0 {
		if p.length > len(d.literals) {
			return part{}, invalid("literals run out")
		}
		p.literal, d.literals = d.literals[:p.length], d.literals[p.length:]
		return p, nil
	}
	base := uint64(0)
	if d.bases > 1 {
		base = d.ops.uvarint()
	}
	if base >= uint64(d.bases) {
		return part{}, invalid("no such base")
	}
	p.base = int(base)
	step := d.ops.varint()
	p.offset = d.ends[base] + int(step)
	if step > MaxLength || step < -MaxLength || p.offset < 0 || p.offset > d.lengths[base] || p.length > d.lengths[base]-p.offset {
		return part{}, invalid("copy outside its base")
	}
	d.ends[base] = p.offset + p.length
	return p, nil
}

func (d *decoder) end() error {
	if d.operations != 0 || len(d.literals) != 0 {
		return invalid("lengths do not add up")
	}
	return nil
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
