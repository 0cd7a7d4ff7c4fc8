package blake3

const (
	// worthATree is from which length on sixteen at once are faster.
	worthATree = 8 * chunkSize

	// span is how much is hashed as one subtree: enough that few registers are
	// half empty, and a power of two, as the tree wants it.
	span = 128 * chunkSize
)

// A tree hashes an input in subtrees of a span each. Its nodes are joined as soon as
// both halves of one are there; the root is another kind of node, so the last
// subtree stays unhashed until it is known that nothing follows.
//
//	written = spans*span + len(pending); stack has a value for each bit of spans,
//	the largest subtree first
type tree struct {
	key     value
	mode    uint32 // keyed, or nothing
	lanes   lanes
	spans   uint64
	stack   []value
	pending []byte // of at most a span
	values  [span / chunkSize * Size]byte
	chunks  [width * chunkSize]byte // the last ones of an input, with room behind them
}

func newTree(key value, mode uint32) *tree {
	if !wide {
		return nil
	}
	return &tree{key: key, mode: mode, lanes: newLanes(key)}
}

func (t *tree) reset() { t.spans, t.stack, t.pending = 0, t.stack[:0], t.pending[:0] }

func (t *tree) write(data []byte) {
	if len(t.pending) > 0 {
		n := min(span-len(t.pending), len(data))
		t.pending = append(t.pending, data[:n]...)
		if data = data[n:]; len(data) == 0 {
			return
		}
		t.push(t.pending)
		t.pending = t.pending[:0]
	}
	t.pending = append(t.pending, t.pushAll(data)...)
}

// pushAll adds the subtrees of data but for the last, which it returns.
func (t *tree) pushAll(data []byte) []byte {
	for ; len(data) > span; data = data[span:] {
		t.push(data[:span])
	}
	return data
}

// push adds a subtree, behind which there is more.
func (t *tree) push(data []byte) {
	left, right := t.halves(data, t.spans*(span/chunkSize))
	v := t.join(left, right, 0)
	for bit := t.spans; bit&1 == 1; bit >>= 1 {
		v = t.join(t.pop(), v, 0)
	}
	t.stack = append(t.stack, v)
	t.spans++
}

func (t *tree) pop() value {
	last := len(t.stack) - 1
	v := t.stack[last]
	t.stack = t.stack[:last]
	return v
}

// sum returns the hash of what was pushed and a last subtree, which may be short. It
// joins from the right.
func (t *tree) sum(rest []byte) [Size]byte {
	first := t.spans * (span / chunkSize)
	flags := uint32(0)
	if t.spans == 0 {
		flags = root
	}
	var v value
	if len(rest) <= chunkSize {
		v = t.chunk(rest, first, flags)
	} else {
		left, right := t.halves(rest, first)
		v = t.join(left, right, flags)
	}
	for i := len(t.stack) - 1; i >= 0; i-- {
		flags = 0
		if i == 0 {
			flags = root
		}
		v = t.join(t.stack[i], v, flags)
	}
	return v.bytes()
}

func (t *tree) join(left, right value, flags uint32) value {
	var block [blockSize]byte
	l, r := left.bytes(), right.bytes()
	copy(block[:Size], l[:])
	copy(block[Size:], r[:])
	return compress(t.key, &block, blockSize, 0, parent|flags|t.mode)
}

// chunk returns the value of one chunk, which may be short, even empty.
func (t *tree) chunk(data []byte, counter uint64, flags uint32) value {
	v, more := t.key, uint32(chunkStart)
	for {
		var block [blockSize]byte
		n := copy(block[:], data)
		if data = data[n:]; len(data) == 0 {
			return compress(v, &block, uint32(n), counter, more|chunkEnd|flags|t.mode)
		}
		v = compress(v, &block, blockSize, counter, more|t.mode)
		more = 0
	}
}

// halves returns the values of the two halves of a subtree of more than one chunk and
// at most a span, whose first chunk has the number first.
func (t *tree) halves(data []byte, first uint64) (left, right value) {
	n := t.leaves(data, first)
	t.lanes.uncounted()
	// A level is joined in pairs, and who is left over waits for the next: so the left
	// half is always the largest whole tree.
	for n > 2 {
		pairs := n / 2
		for from := 0; from < pairs; from += width {
			t.lanes.compress(t.values[2*Size*from:], 1, 0, parent|t.mode, 0)
			t.lanes.store(t.values[Size*from:], min(width, pairs-from))
		}
		if n%2 == 1 {
			copy(t.values[Size*pairs:][:Size], t.values[Size*(n-1):])
		}
		n = pairs + n%2
	}
	return words((*[Size]byte)(t.values[:])), words((*[Size]byte)(t.values[Size:]))
}

// leaves puts the values of the chunks of data into t.values and returns how many.
func (t *tree) leaves(data []byte, first uint64) (n int) {
	for len(data) >= chunkSize {
		from, whole := data, min(width, len(data)/chunkSize)
		if whole < width { // nothing behind data may be read
			copy(t.chunks[:], data[:whole*chunkSize])
			from = t.chunks[:]
		}
		t.lanes.count(first + uint64(n))
		t.lanes.compress(from, chunkSize/blockSize, chunkStart, t.mode, chunkEnd)
		t.lanes.store(t.values[Size*n:], whole)
		data, n = data[whole*chunkSize:], n+whole
	}
	if len(data) > 0 {
		v := t.chunk(data, first+uint64(n), 0)
		b := v.bytes()
		copy(t.values[Size*n:], b[:])
		n++
	}
	return n
}
