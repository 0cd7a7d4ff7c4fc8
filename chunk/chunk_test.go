package chunk

import (
	"math/rand/v2"
	"testing"
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
