// Package delta describes bytes as copies from other bytes, the bases, and
// literals for what is new: the payload of a delta blob (docs/format.md,
// section 4).
//
// The coder expects the target to go on as its base does after the last copy, and
// compares there first. Where it does not, the bytes that follow are looked for
// close by, through a table of every sixteenth position that is filled only
// around such places; failing that, anywhere in the bases, in steps that grow
// while nothing is found. So equal runs cost a comparison, an edit some hundred
// nanoseconds, and unlike bytes are given up on within microseconds. Decoding
// trusts nothing.
package delta

import "encoding/binary"

const (
	// MaxBases is the largest number of bases of one delta.
	MaxBases = 8
	// MaxLength is the largest target that Apply makes, in bytes.
	MaxLength = 16 << 20

	minMatch   = 24  // bytes; shorter copies cost more than they save
	minUse     = 256 // bytes copied, for which a base is worth naming
	plausible  = 32  // a match of so many bytes near where it is expected is no chance
	convincing = 128 // nor is one of so many anywhere
	maxLost    = 16  // lost copies in a row, two each, after which all bases are searched at once
)

// Encoder holds the table and the operations of one encoding after the other.
// It serves one goroutine at a time; the zero value is ready.
type Encoder struct {
	table table
	ops   []operation
}

// operation makes length bytes: a copy from offset in a base, or a literal, the
// bytes at offset of the target.
type operation struct{ base, offset, length int32 }

const literal = -1

// Encode appends to dst the delta that makes target from bases, of which there
// are one to MaxBases, and says which of them it copies from: bit i stands for
// bases[i]. Apply wants those alone, in that order. The target is expected to
// begin like bases[first].
//
// Where more than limit bytes would be literals, or all, it gives up as soon as
// it sees that: ok is false and dst is returned as it was.
func (e *Encoder) Encode(dst, target []byte, bases [][]byte, first, limit int) (delta []byte, used uint8, ok bool) {
	e.ops = e.ops[:0]
	e.table.reset(bases)
	if !e.compare(target, bases, first, limit) {
		return dst, 0, false
	}
	used = e.prune()
	literals := 0
	for _, op := range e.ops {
		if op.base == literal {
			literals += int(op.length)
		}
	}
	if used == 0 || literals > limit {
		return dst, 0, false
	}
	return e.write(dst, target, used), used, true
}

// compare fills ops. It returns false once literals exceed limit.
func (e *Encoder) compare(target []byte, bases [][]byte, first, limit int) bool {
	expected, lost := cursor{base: first}, 0
	for from := 0; from < len(target); {
		m := expected.follow(target, from, bases)
		if m.length == 0 {
			m = expected.afterReplacement(target, from, bases)
		}
		if m.length == 0 && lost < maxLost {
			m = e.table.near(target, from, bases, expected, limit)
			lost = max(0, lost-1)
		}
		if m.length == 0 {
			m = e.table.anywhere(target, from, bases, limit)
			lost += 2
		}
		if m.length == 0 {
			limit -= len(target) - from
			e.add(literal, from, len(target)-from)
			return limit >= 0
		}
		limit -= m.at - from
		if limit < 0 {
			return false
		}
		e.add(literal, from, m.at-from)
		e.add(m.base, m.offset, m.length)
		expected.advance(m, m.at+m.length-from)
		from = m.at + m.length
	}
	return true
}

func (e *Encoder) add(base, offset, length int) {
	if length > 0 {
		e.ops = append(e.ops, operation{int32(base), int32(offset), int32(length)})
	}
}

// prune turns copies from bases that are hardly used into literals, and returns
// the set of the others.
func (e *Encoder) prune() (used uint8) {
	var copied [MaxBases]int
	most := 0
	for _, op := range e.ops {
		if op.base == literal {
			continue
		}
		copied[op.base] += int(op.length)
		if copied[op.base] > copied[most] {
			most = int(op.base)
		}
	}
	for i, n := range copied {
		if n >= minUse || n > 0 && i == most {
			used |= 1 << i
		}
	}
	kept, at := e.ops[:0], int32(0)
	for _, op := range e.ops {
		length := op.length
		if op.base == literal || used>>op.base&1 == 0 {
			op = operation{literal, at, length}
		}
		last := len(kept) - 1
		if last >= 0 && kept[last].base == op.base && kept[last].offset+kept[last].length == op.offset {
			kept[last].length += length
		} else {
			kept = append(kept, op)
		}
		at += length
	}
	e.ops = kept
	return used
}

func (e *Encoder) write(dst, target []byte, used uint8) []byte {
	var ends, numbers [MaxBases]int
	several := 0
	for i := range numbers {
		numbers[i] = several
		several += int(used >> i & 1)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.ops)))
	for _, op := range e.ops {
		if op.base == literal {
			dst = binary.AppendUvarint(dst, uint64(op.length)<<1)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(op.length)<<1|1)
		if several > 1 {
			dst = binary.AppendUvarint(dst, uint64(numbers[op.base]))
		}
		dst = binary.AppendVarint(dst, int64(op.offset)-int64(ends[op.base]))
		ends[op.base] = int(op.offset + op.length)
	}
	for _, op := range e.ops {
		if op.base == literal {
			dst = append(dst, target[op.offset:op.offset+op.length]...)
		}
	}
	return dst
}
