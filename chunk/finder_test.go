package chunk

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// bend changes the last three bytes before position p so that it is a cut.
func (f *finder) bend(data []byte, p int) {
	d := f.digest(data, p)
	data[p-1] ^= byte(d)
	data[p-2] ^= byte(d >> 8)
	data[p-3] ^= byte(d >> 16)
}

// checkFind holds find against what every position says for itself.
func checkFind(t *testing.T, f *finder, data []byte, from int) {
	t.Helper()
	want := 0
	for p := len(data); p >= from; p-- {
		if f.isCut(data, p) {
			want = p
		}
	}
	if got := f.find(data, from); got != want {
		t.Errorf("from %d of %d: cut at %d, want %d", from, len(data), got, want)
	}
}

func TestFindFindsTheFirstCutWhereverItLies(t *testing.T) {
	var f finder
	f.init(testPolynomial, Sizes{Min: 8 << 10, Average: 16 << 20, Max: 16 << 20})
	data := randomBytes(3*blockSpan, 1)
	for from := range 3 {
		from += window
		var cuts []int // the borders of lanes and blocks, and what is near them
		for border := from; border < len(data); border += laneSpan {
			for near := -1; near <= 1; near++ {
				cuts = append(cuts, max(border+near, from))
			}
		}
		cuts = append(cuts, len(data)-1, len(data))
		for i, cut := range cuts {
			t.Run(fmt.Sprintf("from %d, %d", from, cut), func(t *testing.T) {
				one := append([]byte(nil), data...)
				f.bend(one, cut)
				checkFind(t, &f, one, from)
				f.bend(one, cuts[(7*i+3)%len(cuts)])
				checkFind(t, &f, one, from)
				checkFind(t, &f, one[:cut], from)
				checkFind(t, &f, one[:max(cut-1, from)], from)
			})
		}
	}
}

func TestFindWhereCutsAreMany(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for bits := range 8 {
		var f finder
		f.init(drawPolynomial(t, uint64(bits)), Sizes{Min: 8 << 10, Average: 64 << bits, Max: 16 << 20})
		data := randomBytes(2*blockSpan+1000, uint64(bits))
		for range 30 {
			checkFind(t, &f, data, window+r.IntN(len(data)-window+1))
		}
	}
}
