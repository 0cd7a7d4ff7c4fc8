package chunk

import (
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
	if p>>53 != 1 || !p.irreducible() {
		return errors.New("the chunker polynomial is not irreducible of degree 53")
	}
	return nil
}

// irreducible is Rabin's test ("Probabilistic Algorithms in Finite Fields", 1980) for
// the degree 53: as that is a prime, p is irreducible if x^(2^53) = x modulo p, and
// neither 0 nor 1 is a root. Every process that opens a repository asks it.
func (p Polynomial) irreducible() bool {
	if p&1 == 0 || bits.OnesCount64(uint64(p))%2 == 0 {
		return false
	}
	power := Polynomial(2) // x
	for range 53 {
		power = p.square(power)
	}
	return power == 2
}

// square returns a² modulo p, of an a below p: the bits of a, each followed by a
// zero, and from the highest down taken off again what p divides.
func (p Polynomial) square(a Polynomial) (r Polynomial) {
	for i := 52; i >= 0; i-- {
		r <<= 1 // r = r·x² + the next bit of a
		if r>>53 == 1 {
			r ^= p
		}
		r <<= 1
		if r>>53 == 1 {
			r ^= p
		}
		r ^= a >> i & 1
	}
	return r
}
