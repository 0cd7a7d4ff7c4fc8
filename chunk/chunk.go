package chunk

import (
	"errors"
	"fmt"
	"io"

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
