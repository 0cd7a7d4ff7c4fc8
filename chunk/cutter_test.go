package chunk

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/restic/chunker"
)

var (
	fineSizes   = Sizes{Min: 16 << 10, Average: 64 << 10, Max: 512 << 10}
	coarseSizes = Sizes{Min: 32 << 10, Average: 128 << 10, Max: 1 << 20}
	tinySizes   = Sizes{Min: 64, Average: 64, Max: 300}
)

// resticCuts returns the lengths of the chunks that restic/chunker cuts.
func resticCuts(data []byte, p Polynomial, s Sizes) (cuts []int) {
	c := chunker.NewWithBoundaries(bytes.NewReader(data), chunker.Pol(p), uint(s.Min), uint(s.Max))
	c.SetAverageBits(bits.TrailingZeros32(s.Average))
	buf := make([]byte, s.Max)
	for {
		next, err := c.Next(buf)
		if err != nil {
			return cuts
		}
		cuts = append(cuts, int(next.Length))
	}
}

// cuts returns the lengths of the chunks that c cuts, when piece says how many
// more bytes it is shown at a time.
func cuts(c *Cutter, data []byte, piece func() int) (cuts []int) {
	for shown := 0; len(data) > 0; {
		shown = min(shown+piece(), len(data))
		for {
			n := c.Cut(data[:shown], shown == len(data))
			if n == 0 {
				break
			}
			cuts = append(cuts, n)
			data, shown = data[n:], shown-n
		}
	}
	return cuts
}

// cutters returns a Cutter of each implementation.
func cutters(p Polynomial, s Sizes) map[string]*Cutter {
	all := map[string]*Cutter{}
	for name, f := range implementations(p, s) {
		all[name] = &Cutter{finder: f, sizes: s}
	}
	return all
}

func whole() int { return 1 << 30 }

func drawPolynomial(t testing.TB, seed uint64) Polynomial {
	t.Helper()
	p, err := NewPolynomial(bytes.NewReader(randomBytes(1<<16, seed)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// contents are n bytes each of the kinds of data that finders may trip over.
func contents(n int) map[string][]byte {
	random := randomBytes(n, uint64(n))
	text := bytes.Repeat([]byte("INSERT INTO `t` VALUES (17,'lorem ipsum',NULL),(18,'dolor'),\n"), n/60+1)[:n]
	mixed := slices.Clone(random)
	r := rand.New(rand.NewPCG(uint64(n), 2))
	for at := 0; at < n; {
		size := min(r.IntN(3*int(fineSizes.Min)), n-at)
		switch part := mixed[at : at+size]; r.IntN(3) {
		case 0:
			clear(part)
		case 1:
			copy(part, text)
		}
		at += size
	}
	return map[string][]byte{
		"random": random, "text": text, "mixed": mixed,
		"zeros": make([]byte, n), "0xff": bytes.Repeat([]byte{0xff}, n),
	}
}

func TestCutterCutsWhereResticChunkerDoes(t *testing.T) {
	for _, sizes := range []Sizes{tinySizes, testSizes, fineSizes, coarseSizes, {Min: 64, Average: 64, Max: 64}} {
		for seed := range uint64(2) {
			p := drawPolynomial(t, seed)
			lengths := []int{0, 1, 63, int(sizes.Min) - 1, int(sizes.Min), int(sizes.Min) + 1, int(sizes.Max), int(sizes.Max) + 1, 3 << 20}
			for _, n := range lengths {
				for kind, data := range contents(n) {
					want := resticCuts(data, p, sizes)
					for name, c := range cutters(p, sizes) {
						if got := cuts(c, data, whole); !slices.Equal(got, want) {
							t.Errorf("%s, sizes %v, %d bytes %s: %s", name, sizes, n, kind, firstDifference(got, want))
						}
					}
				}
			}
		}
	}
}

func firstDifference(got, want []int) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d chunks, want %d; from number %d on: %v, want %v", len(got), len(want), i,
		got[i:min(i+5, len(got))], want[i:min(i+5, len(want))])
}

func TestPiecesDoNotMoveTheCuts(t *testing.T) {
	data := contents(1 << 20)["mixed"]
	r := rand.New(rand.NewPCG(3, 3))
	for _, sizes := range []Sizes{testSizes, fineSizes} {
		want := resticCuts(data, testPolynomial, sizes)
		for name, c := range cutters(testPolynomial, sizes) {
			for _, largest := range []int{100, 5000, 100 << 10, 600 << 10} {
				got := cuts(c, data, func() int { return 1 + r.IntN(largest) })
				if !slices.Equal(got, want) {
					t.Errorf("%s, sizes %v, pieces of up to %d bytes: %s", name, sizes, largest, firstDifference(got, want))
				}
			}
		}
	}
}

func TestResetForgetsTheChunkThatWasBegun(t *testing.T) {
	data := randomBytes(2<<20, 5)
	c := NewCutter(testPolynomial, fineSizes)
	want := resticCuts(data, testPolynomial, fineSizes)
	first := want[0]
	if n := c.Cut(data[100:first-1], false); n != 0 {
		t.Fatalf("a cut at %d, where the stream has its first at %d", 100+n, first)
	}
	c.Reset()
	if got := cuts(c, data, whole); !slices.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
}

func TestCutAllocatesNothing(t *testing.T) {
	data := contents(4 << 20)["mixed"]
	for _, sizes := range []Sizes{tinySizes, fineSizes, coarseSizes} {
		for name, c := range cutters(testPolynomial, sizes) {
			allocs := testing.AllocsPerRun(3, func() {
				for rest := data; len(rest) > 0; {
					n := c.Cut(rest[:min(len(rest), 256<<10)], false)
					if n == 0 {
						n = c.Cut(rest, true)
					}
					rest = rest[n:]
				}
			})
			if allocs != 0 {
				t.Errorf("%s, sizes %v: %v allocations for 4 MiB", name, sizes, allocs)
			}
		}
	}
}

func BenchmarkCut(b *testing.B) {
	for _, sizes := range []Sizes{fineSizes, coarseSizes} {
		for kind, data := range contents(16 << 20) {
			for name, c := range cutters(testPolynomial, sizes) {
				b.Run(fmt.Sprintf("%dK/%s/%s", sizes.Average>>10, kind, name), func(b *testing.B) {
					b.SetBytes(int64(len(data)))
					for b.Loop() {
						for rest := data; len(rest) > 0; {
							rest = rest[c.Cut(rest, true):]
						}
					}
				})
			}
			b.Run(fmt.Sprintf("%dK/%s/restic", sizes.Average>>10, kind), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				source, buf := bytes.NewReader(data), make([]byte, sizes.Max)
				reference := chunker.NewWithBoundaries(source, chunker.Pol(testPolynomial), uint(sizes.Min), uint(sizes.Max))
				for b.Loop() {
					source.Reset(data)
					reference.ResetWithBoundaries(source, chunker.Pol(testPolynomial), uint(sizes.Min), uint(sizes.Max))
					reference.SetAverageBits(bits.TrailingZeros32(sizes.Average))
					for err := error(nil); err != io.EOF; {
						_, err = reference.Next(buf)
					}
				}
			})
		}
	}
}

// FuzzCutter takes streams from the fuzzer: what it finds is repeated, mixed with
// runs and random bytes, and bent so that cuts lie where the sizes make them hard.
func FuzzCutter(f *testing.F) {
	f.Add([]byte("short"), uint64(1), uint8(0))
	f.Add(make([]byte, 5000), uint64(2), uint8(1))
	f.Add(randomBytes(9000, 1), uint64(3), uint8(2))
	f.Add([]byte("INSERT INTO t VALUES (1,2),"), uint64(4), uint8(3))
	choices := []Sizes{tinySizes, testSizes, {4 << 10, 4 << 10, 20 << 10}, {8 << 10, 16 << 10, 64 << 10}, {5000, 8192, 40001}}
	var polynomials []Polynomial
	for seed := range uint64(20) {
		polynomials = append(polynomials, drawPolynomial(f, seed))
	}
	f.Fuzz(func(t *testing.T, piece []byte, seed uint64, choice uint8) {
		sizes := choices[int(choice)%len(choices)]
		p := polynomials[seed%20]
		all := cutters(p, sizes)
		r := rand.New(rand.NewPCG(seed, 0))
		var data []byte
		for end := int(sizes.Max) + r.IntN(3*int(sizes.Max)); len(data) < end; {
			n := r.IntN(2 * int(sizes.Min))
			switch r.IntN(4) {
			case 0:
				data = append(data, piece...)
			case 1:
				data = append(data, randomBytes(n, r.Uint64())...)
			case 2:
				data = append(data, bytes.Repeat([]byte{byte(r.IntN(2) * r.IntN(256))}, n)...)
			case 3:
				data = append(data, bytes.Repeat(piece, n/(len(piece)+1)/4)...)
			}
			// A cut at the first legal position, at the last, and at any other.
			at := []int{int(sizes.Min), int(sizes.Max), r.IntN(int(sizes.Max))}[r.IntN(3)] + r.IntN(3) - 1
			if at >= window && at <= len(data) {
				all["alone"].finder.bend(data[len(data)-at:], at)
			}
		}
		want := resticCuts(data, p, sizes)
		for name, c := range all {
			if got := cuts(c, data, whole); !slices.Equal(got, want) {
				t.Errorf("%s, in one piece: %s", name, firstDifference(got, want))
			}
			if got := cuts(c, data, func() int { return 1 + r.IntN(2*int(sizes.Max)) }); !slices.Equal(got, want) {
				t.Errorf("%s, in pieces: %s", name, firstDifference(got, want))
			}
		}
	})
}
