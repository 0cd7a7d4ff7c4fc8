package repo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{seed}).Read(b); err != nil {
		panic(err)
	}
	return b
}

// skewed is noise that entropy coding makes about so much smaller: of 1,000 bytes
// some are zero that need not be.
func skewed(perMille int) []byte {
	b := noise(9, 128<<10)
	for i := range b {
		if i*7919%1000 < perMille {
			b[i] = 0
		}
	}
	return b
}

func TestOnlyWhatZstdCannotShrinkIsDense(t *testing.T) {
	rows := &strings.Builder{}
	for i := range 4000 {
		fmt.Fprintf(rows, "(%d,'%x',%d),\n", i, noise(byte(i), 8), i*i)
	}
	floats := noise(4, 128<<10)
	for i := 3; i < len(floats); i += 4 {
		floats[i] = 0x3f
	}
	for _, c := range []struct {
		what string
		data []byte
		want bool
	}{
		{"noise", noise(1, 128<<10), true},
		{"noise of 16 KiB", noise(2, 16<<10), true},
		{"noise with a list of names at its end", append(noise(5, 120<<10), strings.Repeat("a/name.class ", 1000)...), false},
		{"too little to tell", noise(3, 16<<10-1), false},
		{"rows of a dump", []byte(rows.String()), false},
		{"numbers with equal exponents", floats, false},
		{"noise, a twentieth of it zeros", skewed(50), false},
		{"zeros", make([]byte, 64<<10), false},
	} {
		if got := dense(c.data); got != c.want {
			t.Errorf("%s: dense %v, want %v", c.what, got, c.want)
		}
	}
	// Nobody's data may be taken for dense that would have been stored smaller.
	encoder := newEncoder(zstd.SpeedDefault)
	for perMille := range 100 {
		data := skewed(perMille)
		if dense(data) && worthwhile(len(encoder.EncodeAll(data, nil)), len(data)) {
			t.Errorf("noise with %d of 1,000 bytes zero is taken for dense, and could be smaller", perMille)
		}
	}
}

func TestNoiseIsHardlyEverTakenForMore(t *testing.T) {
	missed := 0
	for seed := range byte(200) {
		if !dense(noise(seed, 64<<10)) {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d of 200 pieces of noise would be compressed in vain", missed)
	}
}
