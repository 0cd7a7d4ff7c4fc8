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

// encode encodes without a limit; it fails where nothing is alike.
func encode(e *Encoder, target []byte, bases ...[]byte) (delta []byte, used [][]byte, ok bool) {
	delta, set, ok := e.Encode(nil, target, bases, 0, len(target))
	for i, b := range bases {
		if set>>i&1 == 1 {
			used = append(used, b)
		}
	}
	return delta, used, ok
}

func TestEncodeThenApplyGivesTheTarget(t *testing.T) {
	base, other := text(1, 60_000), text(2, 60_000)
	cases := map[string]struct {
		target []byte
		bases  [][]byte
		most   int // bytes the delta may have
	}{
		"same":                  {base, [][]byte{base}, 8},
		"a few edits":           {edit(base, 20, 3), [][]byte{base}, 1500},
		"many edits":            {edit(base, 300, 3), [][]byte{base}, 16_000},
		"moved halves":          {append(bytes.Clone(base[30000:]), base[:30000]...), [][]byte{base}, 32},
		"from two bases":        {append(bytes.Clone(base[:40000]), other[10000:]...), [][]byte{base, other}, 32},
		"on from base to base":  {append(bytes.Clone(base[100:]), other[:5000]...), [][]byte{base, other}, 16},
		"from the second alone": {bytes.Clone(other[3000:20_000]), [][]byte{base, other}, 12},
		"zeros":                 {make([]byte, 100_000), [][]byte{make([]byte, 50_000)}, 256},
		"shorter than the seed": {[]byte("abcd"), [][]byte{[]byte("abcdefghij")}, 8},
		"cut":                   {base[:5], [][]byte{base}, 8},
		"appended to":           {append(bytes.Clone(base), "and more"...), [][]byte{base}, 24},
	}
	var e Encoder // one for all: tables must not leak from one case into the next
	for name, c := range cases {
		d, used, ok := encode(&e, c.target, c.bases...)
		if !ok || len(d) > c.most {
			t.Errorf("%s: %v, delta of %d bytes, want at most %d", name, ok, len(d), c.most)
			continue
		}
		got, err := Apply(nil, d, used, len(c.target))
		if err != nil || !bytes.Equal(got, c.target) {
			t.Errorf("%s: Apply gives %d bytes, error %v", name, len(got), err)
		}
		other := bytes.Clone(c.target)
		other[len(other)/2]++
		if !Makes(c.target, d, used) || Makes(other, d, used) || Makes(c.target[1:], d, used) {
			t.Errorf("%s: Makes does not tell the target from others", name)
		}
	}
}

func TestEncodeGivesUp(t *testing.T) {
	base := text(1, 60_000)
	half := append(bytes.Clone(base[:30_000]), noise(30_000)...)
	cases := map[string]struct {
		target, base []byte
		limit        int
		ok           bool
	}{
		"nothing to do":          {nil, base, 0, false},
		"an empty base":          {base, nil, len(base), false},
		"unlike":                 {text(4, 5000), make([]byte, 5000), 5000, false},
		"half is new, too much":  {half, base, 20_000, false},
		"half is new, good":      {half, base, 31_000, true},
		"same, no literals left": {base, base, 0, true},
	}
	var e Encoder
	for name, c := range cases {
		before := []byte("before")
		d, used, ok := e.Encode(before, c.target, [][]byte{c.base}, 0, c.limit)
		if ok != c.ok || (used == 1) != c.ok {
			t.Errorf("%s: ok %v, used %b", name, ok, used)
		}
		if !ok && len(d) != len(before) {
			t.Errorf("%s: gave up with %d bytes appended", name, len(d)-len(before))
		}
	}
}

func TestBasesHardlyUsedAreLeftOut(t *testing.T) {
	base, other := text(1, 60_000), text(2, 60_000)
	target := append(append(bytes.Clone(base[:30_000]), other[5000:5100]...), base[30_000:]...)
	var e Encoder
	d, used, ok := e.Encode(nil, target, [][]byte{other, base}, 1, len(target))
	if !ok || used != 0b10 {
		t.Fatalf("ok %v, used %b", ok, used)
	}
	if got, err := Apply(nil, d, [][]byte{base}, len(target)); err != nil || !bytes.Equal(got, target) {
		t.Errorf("Apply: %v", err)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	base := text(1, 60_000)
	target, unlike := edit(base, 20, 3), text(9, 60_000)
	var e Encoder
	var d []byte
	for _, data := range [][]byte{target, unlike} {
		bases := [][]byte{base}
		run := func() { d, _, _ = e.Encode(d[:0], data, bases, 0, len(data)/3) }
		run()
		if n := testing.AllocsPerRun(10, run); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestPositionsAreForgottenWhenNumbersRunOut(t *testing.T) {
	base, other := text(1, 60_000), text(2, 60_000)
	var e Encoder
	encode(&e, edit(base, 20, 3), base)
	for range 4 {
		e.table.origin = 1<<32 - 150_000 + uint32(len(base))
		for range 4 {
			target := append(bytes.Clone(other[40_000:]), other[:40_000]...)
			d, used, ok := encode(&e, target, other)
			if !ok || len(d) > 32 {
				t.Fatalf("ok %v, %d bytes", ok, len(d))
			}
			if got, err := Apply(nil, d, used, len(target)); err != nil || !bytes.Equal(got, target) {
				t.Fatalf("Apply: %v", err)
			}
		}
	}
}

func TestDamagedDeltaIsRefusedOrHasTheRightLength(t *testing.T) {
	base := text(1, 4000)
	target := edit(base, 10, 5)
	var e Encoder
	d, _, _ := encode(&e, target, base)
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
	d, _, _ := encode(&e, edit(base, 3, 1), base)
	f.Add(d, uint16(300))
	f.Add([]byte{1, 7, 0}, uint16(3))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, payload []byte, length uint16) {
		for _, bases := range [][][]byte{{base}, {base, base[:7]}} {
			got, err := Apply(nil, payload, bases, int(length))
			if err == nil && len(got) != int(length) {
				t.Fatalf("%d bytes instead of %d", len(got), length)
			}
			if err == nil && !Makes(got, payload, bases) {
				t.Fatal("Makes and Apply differ")
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog"), []byte("the quick brown fox leaps over the lazy dog"))
	f.Fuzz(func(t *testing.T, base, target []byte) {
		var e Encoder
		for _, bases := range [][][]byte{{base}, {base, target}, {target, base, base}} {
			d, used, ok := encode(&e, target, bases...)
			if !ok {
				continue
			}
			got, err := Apply(nil, d, used, len(target))
			if err != nil || !bytes.Equal(got, target) {
				t.Fatalf("round trip: %q, %v", got, err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	base := text(1, 128<<10)
	for name, target := range map[string][]byte{
		"same": base, "10 edits": edit(base, 10, 2), "100 edits": edit(base, 100, 2), "other text": text(3, 128<<10), "noise": noise(128 << 10),
	} {
		b.Run(name, func(b *testing.B) {
			var e Encoder
			var d []byte
			b.SetBytes(int64(len(target)))
			for b.Loop() {
				d, _, _ = e.Encode(d[:0], target, [][]byte{base}, 0, len(target)/3)
			}
			b.ReportMetric(float64(len(d)), "delta-bytes")
		})
	}
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(5, 5))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}
