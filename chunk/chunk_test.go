package chunk

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/restic/chunker"
)

const testPolynomial = Polynomial(0x3DA3358B4DC173)

var testSizes = Sizes{Min: 1 << 10, Average: 4 << 10, Max: 32 << 10}

func randomBytes(n int, seed uint64) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}).Read(data)
	return data
}

func TestValidate(t *testing.T) {
	if err := testPolynomial.Validate(); err != nil {
		t.Error(err)
	}
	if (testPolynomial + 1).Validate() == nil {
		t.Error("a reducible polynomial was accepted")
	}
	for _, bad := range []Sizes{{}, {1024, 1000, 4096}, {1024, 3000, 4096}, {1024, 4096, 2048}, {1024, 4096, 17 << 20}} {
		if bad.Validate() == nil {
			t.Errorf("sizes %v were accepted", bad)
		}
	}
}

// TestValidateIsIrreducibility compares with restic/chunker's own test, on polynomials
// that are drawn, those beside them, and any others.
func TestValidateIsIrreducibility(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cases := 0
	for n := range 1000 {
		p := Polynomial(random.Uint64()&(1<<53-1) | 1<<53)
		switch n % 4 {
		case 0:
			p |= 1
		case 1:
			p = drawPolynomial(t, random.Uint64())
		case 2:
			p = drawPolynomial(t, random.Uint64()) ^ 1<<random.IntN(53)
		}
		if want := chunker.Pol(p).Irreducible(); (p.Validate() == nil) != want {
			t.Errorf("%#x: %v, irreducible: %v", uint64(p), p.Validate(), want)
		}
		cases++
	}
	for _, p := range []Polynomial{0, 1, 2, 1 << 53, 1 << 54, 0x3DA3358B4DC173 << 1, 0x1DA3358B4DC173} {
		if p.Validate() == nil {
			t.Errorf("%#x is taken for one of degree 53", uint64(p))
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}
