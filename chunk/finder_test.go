package chunk

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// bend changes the last three bytes before position p so that it is a cut.
func (f *finder) bend(data []byte, p int) {
	d := f.digest(data, p)
	data[p-1] ^= byte(d)
	data[p-2] ^= byte(d >> 8)
	data[p-3] ^= byte(d >> 16)
}

// implementations are the ways to find cuts that this machine and s allow.
func implementations(p Polynomial, s Sizes) map[string]finder {
	var f finder
	f.init(p, s)
	all := map[string]finder{}
	if f.vector != nil {
		all["vector"] = f
	}
	f.vector = nil
	if f.lanes {
		all["lanes"] = f
	}
	f.lanes = false
	all["alone"] = f
	return all
}

func TestFindFindsTheFirstCutWhereverItLies(t *testing.T) {
	clean := randomBytes(3*blockSpan, 1)
	for name, f := range implementations(testPolynomial, Sizes{Min: 8 << 10, Average: 16 << 20, Max: 16 << 20}) {
		check := func(data []byte, from, want int) {
			t.Helper()
			if got := f.find(data, from); got != want {
				t.Fatalf("%s from %d of %d: cut at %d, want %d", name, from, len(data), got, want)
			}
		}
		for _, from := range []int{window, window + 1, 1000} {
			check(clean, from, 0)
			// Lanes and blocks have their borders at multiples of 16 from there.
			for border := from + 16; border < len(clean); border += 16 {
				for p := border - 1; p <= border+1; p++ {
					data := slices.Clone(clean)
					f.bend(data, p)
					check(data, from, p)
					check(data[:p], from, p)
					check(data[:p-1], from, 0)
					if later := p + 3 + (p*p)%(len(data)-p); later <= len(data) {
						f.bend(data, later)
						check(data, from, p)
					}
					data[p-3] ^= 1 // sixteen bits are zero, the next is not
					if got := f.find(data[:p+2], from); got != 0 {
						t.Fatalf("%s from %d: cut at %d, where no digest is zero", name, from, got)
					}
				}
			}
		}
	}
}

func TestFindWhereCutsAreMany(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for bits := range 6 {
		data := randomBytes(2*blockSpan+1000, uint64(bits))
		for name, f := range implementations(drawPolynomial(t, uint64(bits)), Sizes{Min: 8 << 10, Average: 256 << bits, Max: 16 << 20}) {
			for range 30 {
				from := window + r.IntN(len(data)-window+1)
				want := from // every position speaks for itself
				for want <= len(data) && !f.isCut(data, want) {
					want++
				}
				if want > len(data) {
					want = 0
				}
				if got := f.find(data, from); got != want {
					t.Errorf("%s from %d of %d: cut at %d, want %d", name, from, len(data), got, want)
				}
			}
		}
	}
}
