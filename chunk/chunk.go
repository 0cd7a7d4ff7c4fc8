// Package chunk cuts streams at points that depend on their contents only, so
// that equal parts of two streams become equal chunks wherever they stand.
//
// The cut points are those of restic/chunker, a Rabin fingerprint over a window
// of 64 bytes modulo a polynomial that is secret to the repository. Faster ways
// to find the same points join here, behind Splitter.
package chunk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/restic/chunker"
)

// Sizes bound the chunks of a stream, in bytes.
type Sizes struct {
	Min     uint32
	Average uint32 // a power of two
	Max     uint32
}

// Validate checks that s can be cut by and fits a blob.
func (s Sizes) Validate() error {
	const limit = 16 << 20
	if s.Min < 64 || s.Average < s.Min || s.Max < s.Average || s.Max > limit || s.Average&(s.Average-1) != 0 {
		return fmt.Errorf("chunk sizes %d/%d/%d: want 64 <= min <= average (a power of two) <= max <= %d",
			s.Min, s.Average, s.Max, limit)
	}
	return nil
}

// Polynomial selects the family of cut points.
type Polynomial uint64

// NewPolynomial draws an irreducible polynomial of degree 53.
func NewPolynomial(random io.Reader) (Polynomial, error) {
	p, err := chunker.DerivePolynomial(random)
	if err != nil {
		return 0, fmt.Errorf("draw a chunker polynomial: %w", err)
	}
	return Polynomial(p), nil
}

// Validate checks that p is one that NewPolynomial can draw.
func (p Polynomial) Validate() error {
	if pol := chunker.Pol(p); pol.Deg() != 53 || !pol.Irreducible() {
		return errors.New("the chunker polynomial is not irreducible of degree 53")
	}
	return nil
}

// Splitter cuts one stream after the other. It serves one goroutine at a time.
type Splitter struct {
	polynomial chunker.Pol
	sizes      Sizes
	source     io.Reader
	chunker    *chunker.Chunker // made when a stream is longer than one chunk's minimum
	cutting    bool             // the chunker has the rest of the stream
	done       bool
}

// NewSplitter returns a Splitter; Reset gives it a stream.
func NewSplitter(p Polynomial, s Sizes) *Splitter {
	return &Splitter{polynomial: chunker.Pol(p), sizes: s, done: true}
}

// Reset starts with the stream that r yields.
func (s *Splitter) Reset(r io.Reader) { s.source, s.cutting, s.done = r, false, false }

// Next returns the next chunk, in buf if its capacity is at least Sizes.Max, and
// io.EOF after the last. An empty stream has no chunks.
func (s *Splitter) Next(buf []byte) ([]byte, error) {
	if s.done {
		return nil, io.EOF
	}
	if s.cutting {
		return s.cut(buf)
	}
	// Most files are shorter than the shortest chunk: they need no fingerprint.
	if uint32(cap(buf)) < s.sizes.Max {
		buf = make([]byte, s.sizes.Max)
	}
	head := buf[:s.sizes.Min]
	n, err := io.ReadFull(s.source, head)
	switch {
	case err == io.EOF:
		s.done = true
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.done = true
		return head[:n], nil
	case err != nil:
		return nil, err
	}
	s.restart(io.MultiReader(bytes.NewReader(bytes.Clone(head)), s.source))
	return s.cut(buf)
}

func (s *Splitter) restart(r io.Reader) {
	s.cutting = true
	if s.chunker == nil {
		s.chunker = chunker.NewWithBoundaries(r, s.polynomial, uint(s.sizes.Min), uint(s.sizes.Max))
	} else {
		s.chunker.ResetWithBoundaries(r, s.polynomial, uint(s.sizes.Min), uint(s.sizes.Max))
	}
	s.chunker.SetAverageBits(bits.TrailingZeros32(s.sizes.Average))
}

func (s *Splitter) cut(buf []byte) ([]byte, error) {
	c, err := s.chunker.Next(buf)
	if err != nil {
		s.done = s.done || err == io.EOF
		return nil, err
	}
	return c.Data, nil
}
