package delta

import "math/bits"

const (
	stride = 16      // distance of positions in the table
	seed   = 8       // bytes that it goes by
	nearby = 4 << 10 // bytes around an edit in which its end is looked for first
	// After so many positions in vain, steps become longer by two: odd steps
	// meet positions of every remainder of stride.
	patience = 128
)

// table finds bytes in the bases, which are thought of as laid end to end.
//
// A slot holds a position plus origin. Those of former bases are below origin,
// so that the slots need clearing only when numbers run out.
type table struct {
	slots  []uint32
	shift  uint8
	origin uint32
	total  uint32
	starts [MaxBases + 1]uint32 // of each base, and their end
	bases  int
	filled cursor // near fills after it only
	whole  bool   // every base is in the table
}

func (t *table) reset(bases [][]byte) {
	t.origin += t.total
	t.total, t.bases = 0, len(bases)
	for i, b := range bases {
		t.starts[i] = t.total
		t.total += uint32(len(b))
	}
	t.starts[len(bases)] = t.total
	t.filled, t.whole = cursor{}, false
	width := max(10, bits.Len32(t.total/stride)+1)
	t.shift = uint8(64 - width)
	if len(t.slots) < 1<<width {
		t.slots, t.origin = make([]uint32, 1<<width), 1
	}
	if t.origin == 0 || t.origin+t.total < t.origin {
		clear(t.slots)
		t.origin = 1
	}
}

// near looks for the next bytes of the target around where they are expected.
func (t *table) near(target []byte, from int, bases [][]byte, expected cursor, limit int) match {
	start := max(0, expected.offset-nearby/4)
	floor := t.origin + t.starts[expected.base] + uint32(start)
	if t.filled.base == expected.base {
		start = max(start, t.filled.offset)
	}
	end := min(expected.offset+nearby, len(bases[expected.base]))
	if start < end {
		t.fill(bases[expected.base], expected.base, start, end, floor)
		t.filled = cursor{expected.base, end}
	}
	if m := t.search(target, from, min(len(target), from+nearby), bases, floor, limit); m.length >= plausible {
		return m
	}
	return match{}
}

// anywhere looks for them in all bases.
func (t *table) anywhere(target []byte, from int, bases [][]byte, limit int) match {
	if !t.whole {
		for i, b := range bases {
			t.fill(b, i, 0, len(b), t.origin)
		}
		t.whole = true
	}
	return t.search(target, from, len(target), bases, t.origin, limit)
}

// fill enters positions of a base from start to end. Of equal bytes at or after
// floor the first stay, so that runs are copied from their beginning.
func (t *table) fill(base []byte, number, start, end int, floor uint32) {
	start = (start + stride - 1) / stride * stride
	position := t.origin + t.starts[number] + uint32(start)
	for at := start; at+seed <= len(base) && at < end; at += stride {
		if slot := &t.slots[t.hash(load(base, at))]; *slot < floor {
			*slot = position
		}
		position += stride
	}
}

func (t *table) hash(bytes uint64) uint64 { return bytes * 0x9E3779B97F4A7C15 >> t.shift }

// search returns a match that begins between from and end, extended to both
// sides: the first convincing one, or else the longest of those met within a
// stride after the first. Positions below floor do not count. It ends after limit bytes.
func (t *table) search(target []byte, from, end int, bases [][]byte, floor uint32, limit int) (best match) {
	step, patient := 1, patience
	end = min(end, from+limit+1, len(target)-seed+1)
	for at := from; at < end; at += step {
		if patient--; patient == 0 {
			step, patient = step+2, patience
		}
		bytes := load(target, at)
		slot := t.slots[t.hash(bytes)]
		if slot < floor {
			continue
		}
		base, offset := t.locate(slot - t.origin)
		if load(bases[base], offset) != bytes {
			continue
		}
		back := commonSuffix(target[from:at], bases[base][:offset])
		length := back + commonPrefix(target[at:], bases[base][offset:])
		if length >= convincing {
			return match{at - back, base, offset - back, length}
		}
		if length < minMatch || length <= best.length {
			continue
		}
		if best.length == 0 {
			end = min(end, at+2*stride)
		}
		best = match{at - back, base, offset - back, length}
	}
	return best
}

func (t *table) locate(position uint32) (base, offset int) {
	base = t.bases - 1
	for t.starts[base] > position {
		base--
	}
	return base, int(position - t.starts[base])
}
