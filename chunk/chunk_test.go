package chunk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/restic/chunker"
)

const testPolynomial = Polynomial(0x3DA3358B4DC173)

var testSizes = Sizes{Min: 1 << 10, Average: 4 << 10, Max: 32 << 10}

func randomBytes(n int, seed uint64) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}).Read(data)
	return data
}

func split(t testing.TB, s *Splitter, r io.Reader) (chunks [][]byte) {
	t.Helper()
	s.Reset(r)
	buf := make([]byte, testSizes.Max)
	for {
		c, err := s.Next(buf)
		if err == io.EOF {
			return chunks
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, bytes.Clone(c))
	}
}

func reference(data []byte, sizes Sizes, bits int) (chunks [][]byte) {
	c := chunker.NewWithBoundaries(bytes.NewReader(data), chunker.Pol(testPolynomial), uint(sizes.Min), uint(sizes.Max))
	c.SetAverageBits(bits)
	for {
		next, err := c.Next(nil)
		if err != nil {
			return chunks
		}
		chunks = append(chunks, bytes.Clone(next.Data))
	}
}

func TestCutPointsAreThoseOfResticChunker(t *testing.T) {
	s := NewSplitter(testPolynomial, testSizes)
	for _, n := range []int{0, 1, 1023, 1024, 1025, 32 << 10, 32<<10 + 1, 1 << 20} {
		for name, data := range map[string][]byte{"random": randomBytes(n, uint64(n)), "zeros": make([]byte, n)} {
			got, want := split(t, s, bytes.NewReader(data)), reference(data, testSizes, 12)
			if len(got) != len(want) {
				t.Fatalf("%d %s bytes: %d chunks, restic/chunker cuts %d", n, name, len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("%d %s bytes: chunk %d differs from restic/chunker's", n, name, i)
				}
			}
		}
	}
}

func TestReadsInAnyPiecesGiveTheSameChunks(t *testing.T) {
	data := randomBytes(200<<10, 7)
	s := NewSplitter(testPolynomial, testSizes)
	want := split(t, s, bytes.NewReader(data))
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(bytes.NewReader(data)),
		"halves":   iotest.HalfReader(bytes.NewReader(data)),
		"data+EOF": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		got := split(t, s, r)
		if !bytes.Equal(bytes.Join(got, nil), data) || len(got) != len(want) {
			t.Errorf("%s: %d chunks, want %d, or other bytes", name, len(got), len(want))
		}
	}
}

func TestReadErrorIsReturned(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, n := range []int64{0, 500, 100 << 10} {
		s := NewSplitter(testPolynomial, testSizes)
		s.Reset(io.MultiReader(io.LimitReader(bytes.NewReader(randomBytes(200<<10, 3)), n), iotest.ErrReader(broken)))
		var err error
		for err == nil {
			_, err = s.Next(nil)
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: error %v, want %v", n, err, broken)
		}
	}
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

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("short"))
	f.Add(make([]byte, 5000))
	f.Add(randomBytes(9000, 1))
	s := NewSplitter(testPolynomial, Sizes{Min: 64, Average: 256, Max: 1024})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, want := split(t, s, bytes.NewReader(data)), reference(data, Sizes{Min: 64, Average: 256, Max: 1024}, 8)
		if len(got) != len(want) {
			t.Fatalf("%d chunks, restic/chunker cuts %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("chunk %d differs from restic/chunker's", i)
			}
		}
	})
}
