package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrInvalid is wrapped by Apply for anything that no Encode can have written
// for these bases.
var ErrInvalid = errors.New("invalid delta")

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
