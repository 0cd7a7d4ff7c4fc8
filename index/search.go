package index

import (
	"bytes"
	"encoding/binary"
	"math"
	"sort"

	"holdfast/internal/blob"
)

// window is how many rows a search looks at together, and how many copies of one
// blob it finds at most.
const window = 64

// windowSize is the size of the buffer that table.rows is given, in bytes.
const windowSize = window * rowSize

// table is a run of rows, sorted by id, that can be read in pieces.
type table interface {
	// rows returns the raw rows from (inclusive) to (exclusive), at most window of
	// them, in buf or in memory of its own.
	rows(from, to int, buf []byte) ([]byte, error)
}

// span is the part of a table where an id can be: rows lo to hi (exclusive), whose
// ids begin with lowKey to highKey.
type span struct {
	lo, hi          int
	lowKey, highKey uint64
}

// guesses is how often a search trusts that ids are evenly spread, as hashes are;
// then it halves.
const guesses = 4

// search returns the raw rows of id, in their order, and the place of the first
// in the table; none if it is not there.
//
// Every step reads one window and leaves less than the span before it, so any
// bytes come to an end.
func search(t table, s span, id *blob.ID, buf []byte) (at int, raw []byte, err error) {
	end, want := s.hi, key(id[:])
	for step := 0; s.lo < s.hi; step++ {
		middle := s.lo + (s.hi-s.lo)/2
		if step < guesses {
			middle = s.guess(want)
		}
		from := max(s.lo, middle-middle%window)
		to := min(s.hi, middle-middle%window+window)
		raw, err := t.rows(from, to, buf)
		if err != nil {
			return 0, nil, err
		}
		below := sort.Search(to-from, func(i int) bool { return bytes.Compare(raw[i*rowSize:][:blob.Size], id[:]) >= 0 })
		switch {
		case below == to-from:
			s.lo, s.lowKey = to, key(raw[(below-1)*rowSize:])
		case below == 0 && from > s.lo:
			s.hi, s.highKey = from, key(raw)
		default:
			same := leading(raw[below*rowSize:], id)
			if len(same)+below*rowSize < len(raw) || to == end {
				return from + below, same, nil
			}
			return run(t, from+below, end, id, buf) // it may go on behind the window
		}
	}
	return run(t, s.lo, end, id, buf)
}

// run returns the rows of id that stand from a place on, and that place.
func run(t table, from, end int, id *blob.ID, buf []byte) (int, []byte, error) {
	to := min(end, from+window)
	if from == to {
		return from, nil, nil
	}
	raw, err := t.rows(from, to, buf)
	return from, leading(raw, id), err
}

// leading returns the rows of id with which raw begins.
func leading(raw []byte, id *blob.ID) []byte {
	n := 0
	for n < len(raw) && bytes.Equal(raw[n:n+blob.Size], id[:]) {
		n += rowSize
	}
	return raw[:n]
}

// guess returns the place of a key if the span's ids are evenly spread.
func (s span) guess(want uint64) int {
	if want <= s.lowKey || s.highKey <= s.lowKey {
		return s.lo
	}
	share := float64(want-s.lowKey) / float64(s.highKey-s.lowKey)
	return min(s.hi-1, s.lo+int(min(share, 1)*float64(s.hi-s.lo)))
}

// key is the beginning of an id, as a number.
func key(id []byte) uint64 { return binary.BigEndian.Uint64(id) }

// keysOf returns the lowest and highest key of ids whose first bits are prefix.
func keysOf(prefix, bits int) (low, high uint64) {
	if bits == 0 {
		return 0, math.MaxUint64
	}
	low = uint64(prefix) << (64 - bits)
	return low, low | math.MaxUint64>>bits
}
