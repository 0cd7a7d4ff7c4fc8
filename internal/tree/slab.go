package tree

import "strings"

// The pieces in which a decoder allocates grow with the listing, up to these
// sizes: a directory of three files costs little, and an entry that somebody
// keeps holds no more than one piece back.
const (
	firstText, lastText = 256, 4 << 10 // bytes
	firstRefs, lastRefs = 8, 64
)

// text hands out strings that share memory.
type text struct {
	piece strings.Builder
	size  int
}

// add returns b as a string.
func (t *text) add(b []byte) string {
	from := t.piece.Len()
	if len(b) > t.piece.Cap()-from {
		t.size = min(max(firstText, 2*t.size), lastText)
		t.piece.Reset()
		t.piece.Grow(max(t.size, len(b)))
		from = 0
	}
	t.piece.Write(b)
	return t.piece.String()[from:]
}

// slab hands out refs that share memory.
type slab struct {
	left []Ref
	size int
}

// take returns n refs. They are zero.
func (s *slab) take(n int) []Ref {
	if n > len(s.left) {
		s.size = min(max(firstRefs, 2*s.size), lastRefs)
		s.left = make([]Ref, max(s.size, n))
	}
	refs := s.left[:n:n]
	s.left = s.left[n:]
	return refs
}
