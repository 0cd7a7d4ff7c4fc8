package delta

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "(%d,'row %x','2026-01-%02d'),\n", r.IntN(1e9), r.Uint64(), r.IntN(28)+1)
	}
	return b.Bytes()[:n]
}

func edit(data []byte, edits int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	out := bytes.Clone(data)
	for range edits {
		at := r.IntN(len(out) + 1)
		switch r.IntN(3) {
		case 0:
			out = append(out[:at:at], append(text(r.Uint64(), 1+r.IntN(60)), out[at:]...)...)
		case 1:
			out = append(out[:at:at], out[min(len(out), at+r.IntN(60)):]...)
		default:
			copy(out[at:], "changed")
		}
	}
	return out
}

func TestEncodeThenApplyGivesTheTarget(t *testing.T) {
	base, other := text(1, 60_000), text(2, 60_000)
	cases := map[string]struct {
		target []byte
		bases  [][]byte
		most   int // bytes the delta may have
	}{
		"empty target":          {nil, [][]byte{base}, 1},
		"empty base":            {base, [][]byte{nil}, len(base) + 8},
		"same":                  {base, [][]byte{base}, 8},
		"a few edits":           {edit(base, 20, 3), [][]byte{base}, 3000},
		"moved halves":          {append(bytes.Clone(base[30000:]), base[:30000]...), [][]byte{base}, 32},
		"from two bases":        {append(bytes.Clone(base[:40000]), other[10000:]...), [][]byte{base, other}, 32},
		"unlike":                {text(4, 5000), [][]byte{make([]byte, 5000)}, 5000 + 64},
		"zeros":                 {make([]byte, 100_000), [][]byte{make([]byte, 50_000)}, 64},
		"shorter than the seed": {[]byte("abc"), [][]byte{[]byte("abcdefghij")}, 8},
	}
	var e Encoder // one for all: tables must not leak from one case into the next
	for name, c := range cases {
		d := e.Encode(nil, c.target, c.bases)
		if len(d) > c.most {
			t.Errorf("%s: delta of %d bytes, want at most %d", name, len(d), c.most)
		}
		got, err := Apply(nil, d, c.bases, len(c.target))
		if err != nil || !bytes.Equal(got, c.target) {
			t.Errorf("%s: Apply gives %d bytes, error %v", name, len(got), err)
		}
	}
}

func TestDamagedDeltaIsRefusedOrHasTheRightLength(t *testing.T) {
	base := text(1, 4000)
	target := edit(base, 10, 5)
	var e Encoder
	d := e.Encode(nil, target, [][]byte{base})
	for cut := range d {
		if got, err := Apply(nil, d[:cut], [][]byte{base}, len(target)); err == nil {
			t.Fatalf("cut at %d of %d: %d bytes, no error", cut, len(d), len(got))
		} else if !errors.Is(err, ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for i := range d {
		flipped := bytes.Clone(d)
		flipped[i] ^= 0x55
		if got, err := Apply(nil, flipped, [][]byte{base}, len(target)); err == nil && len(got) != len(target) {
			t.Fatalf("flip at %d: %d bytes", i, len(got))
		}
	}
	if _, err := Apply(nil, d, [][]byte{base[:100]}, len(target)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a base that is too short: %v", err)
	}
}

func FuzzApply(f *testing.F) {
	var e Encoder
	base := text(1, 300)
	f.Add(e.Encode(nil, edit(base, 3, 1), [][]byte{base}), uint16(300))
	f.Add([]byte{1, 7, 0}, uint16(3))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, payload []byte, length uint16) {
		for _, bases := range [][][]byte{{base}, {base, base[:7]}} {
			got, err := Apply(nil, payload, bases, int(length))
			if err == nil && len(got) != int(length) {
				t.Fatalf("%d bytes instead of %d", len(got), length)
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog"), []byte("the quick brown fox leaps over the lazy dog"))
	f.Fuzz(func(t *testing.T, base, target []byte) {
		var e Encoder
		for _, bases := range [][][]byte{{base}, {target, base}} {
			got, err := Apply(nil, e.Encode(nil, target, bases), bases, len(target))
			if err != nil || !bytes.Equal(got, target) {
				t.Fatalf("round trip: %q, %v", got, err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	base := text(1, 64<<10)
	target := edit(base, 10, 2)
	var e Encoder
	var d []byte
	b.SetBytes(int64(len(target)))
	for b.Loop() {
		d = e.Encode(d[:0], target, [][]byte{base})
	}
	b.ReportMetric(float64(len(d)), "delta-bytes")
}
