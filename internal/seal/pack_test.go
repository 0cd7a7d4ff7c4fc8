package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"holdfast/internal/seal"
)

func newPack(t testing.TB, k *seal.Keys) *seal.PackCipher {
	t.Helper()
	c, err := k.NewPack()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBlobsOpenUnderTheirPackAndNumber(t *testing.T) {
	k := newKeys(t, "a", 2)
	c := newPack(t, k)
	header := c.Header()
	fromHeader, err := k.OpenPack(header[:])
	if err != nil {
		t.Fatal(err)
	}
	fromIndex, err := k.PackCipherFor(c.Epoch(), c.Salt())
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []*seal.PackCipher{c, fromHeader, fromIndex} {
		if reader.Header() != c.Header() || reader.Epoch() != 2 {
			t.Errorf("header %x of epoch %d", reader.Header(), reader.Epoch())
		}
		for _, size := range []int{0, 1, 15, 16, 17, frame, 3 * frame} {
			for _, number := range []uint32{0, 1, 1 << 20, math.MaxUint32} {
				plaintext := randomBytes("blob", size)
				sealed := c.SealBlob([]byte("before"), number, plaintext)
				if len(sealed) != 6+size+seal.Overhead || string(sealed[:6]) != "before" {
					t.Fatalf("%d bytes sealed to %d", size, len(sealed))
				}
				got, err := reader.OpenBlob([]byte("front"), number, sealed[6:])
				if err != nil || string(got[:5]) != "front" || !bytes.Equal(got[5:], plaintext) {
					t.Errorf("blob %d of %d bytes: %v", number, size, err)
				}
			}
		}
	}
}

// The page docs/format.md, section 4, read by somebody who has nothing else.
func TestPackCipherByThePage(t *testing.T) {
	root := newRoot(t, "page", 1)
	c := newPack(t, seal.NewKeys(root, random("s")))
	salt, header := c.Salt(), c.Header()
	if string(header[:16]) != "HFPK\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" || !bytes.Equal(header[16:], salt[:]) {
		t.Errorf("header % x", header)
	}
	key, err := hkdf.Key(sha256.New, root.Epochs[0].Key[:], salt[:], "holdfast pack\x01"+string(root.Repository[:]), 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	got, err := gcm.Open(nil, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03"), c.SealBlob(nil, 0x010203, []byte("blob")), header[:])
	if err != nil || string(got) != "blob" {
		t.Errorf("blob: %q, %v", got, err)
	}
	got, err = gcm.Open(nil, bytes.Repeat([]byte{0xff}, 12), c.SealDirectory(nil, []byte("directory")), header[:])
	if err != nil || string(got) != "directory" {
		t.Errorf("directory: %q, %v", got, err)
	}
}

func TestNoBlobStandsInForAnother(t *testing.T) {
	k := newKeys(t, "a", 2)
	c, other := newPack(t, k), newPack(t, k)
	older, err := k.PackCipherFor(1, c.Salt())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := newKeys(t, "b", 2).PackCipherFor(2, c.Salt())
	if err != nil {
		t.Fatal(err)
	}
	sealed := c.SealBlob(nil, 7, []byte("seventh"))
	directory := c.SealDirectory(nil, []byte("what there is"))
	for what, open := range map[string]func([]byte) ([]byte, error){
		"another number":      func(d []byte) ([]byte, error) { return c.OpenBlob(d, 8, sealed) },
		"another pack":        func(d []byte) ([]byte, error) { return other.OpenBlob(d, 7, sealed) },
		"another epoch":       func(d []byte) ([]byte, error) { return older.OpenBlob(d, 7, sealed) },
		"another repository":  func(d []byte) ([]byte, error) { return elsewhere.OpenBlob(d, 7, sealed) },
		"as the directory":    func(d []byte) ([]byte, error) { return c.OpenDirectory(d, sealed) },
		"the directory":       func(d []byte) ([]byte, error) { return c.OpenBlob(d, math.MaxUint32, directory) },
		"another's directory": func(d []byte) ([]byte, error) { return other.OpenDirectory(d, directory) },
		"nothing":             func(d []byte) ([]byte, error) { return c.OpenBlob(d, 7, nil) },
		"cut":                 func(d []byte) ([]byte, error) { return c.OpenBlob(d, 7, sealed[:len(sealed)-1]) },
		"longer":              func(d []byte) ([]byte, error) { return c.OpenBlob(d, 7, append(bytes.Clone(sealed), 0)) },
	} {
		got, err := open([]byte("kept"))
		if !errors.Is(err, seal.ErrDamaged) || string(got) != "kept" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for at := range sealed {
		if _, err := c.OpenBlob(nil, 7, flipped(sealed, at, 4)); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("flipped at %d: %v", at, err)
		}
	}
}

func TestPackHeadersAreStrict(t *testing.T) {
	k := newKeys(t, "a", 1)
	c := newPack(t, k)
	sealed := c.SealBlob(nil, 0, []byte("blob"))
	header := c.Header()
	for at := range header {
		if _, err := k.OpenPack(header[:at]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
		for bit := range uint(8) {
			opened, err := k.OpenPack(flipped(header[:], at, bit))
			if err == nil {
				_, err = opened.OpenBlob(nil, 0, sealed)
			}
			var epoch *seal.EpochError
			if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrVersion) && !errors.As(err, &epoch) {
				t.Errorf("flipped at %d: %v", at, err)
			}
		}
	}
	if _, err := k.PackCipherFor(0, c.Salt()); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("epoch 0: %v", err)
	}
}

func TestPackCipherServesSeveralGoroutines(t *testing.T) {
	k := newKeys(t, "a", 1)
	c := newPack(t, k)
	var group sync.WaitGroup
	for g := range uint32(4) {
		group.Go(func() {
			for i := range uint32(200) {
				number, plaintext := g*200+i, fmt.Appendf(nil, "blob %d of %d", i, g)
				got, err := c.OpenBlob(nil, number, c.SealBlob(nil, number, plaintext))
				if err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("blob %d: %v", number, err)
				}
				if _, err := k.NewPack(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestSealingABlobAllocatesNothing(t *testing.T) {
	c := newPack(t, newKeys(t, "a", 1))
	plaintext := randomBytes("blob", frame)
	sealed := make([]byte, 0, frame+seal.Overhead)
	opened := make([]byte, 0, frame)
	n := testing.AllocsPerRun(100, func() {
		sealed = c.SealBlob(sealed[:0], 1, plaintext)
		var err error
		if opened, err = c.OpenBlob(opened[:0], 1, sealed); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations to seal and open a blob", n)
	}
}

func FuzzOpenPack(f *testing.F) {
	k := newKeys(f, "fuzz", 2)
	header := newPack(f, k).Header()
	f.Add(header[:])
	f.Fuzz(func(t *testing.T, header []byte) {
		c, err := k.OpenPack(header)
		if err != nil {
			return
		}
		if got := c.Header(); !bytes.Equal(got[:], header[:seal.PackHeaderSize]) {
			t.Error("two forms of one header")
		}
		_, _ = c.OpenBlob(nil, 0, header)
	})
}

func BenchmarkSealBlob(b *testing.B) {
	c := newPack(b, newKeys(b, "a", 1))
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			plaintext := randomBytes("blob", size)
			dst := make([]byte, 0, size+seal.Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				dst = c.SealBlob(dst[:0], 0, plaintext)
			}
		})
	}
}

func BenchmarkPackCipherFor(b *testing.B) {
	k := newKeys(b, "a", 1)
	salt := newPack(b, k).Salt()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.PackCipherFor(1, salt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenBlob(b *testing.B) {
	c := newPack(b, newKeys(b, "a", 1))
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			sealed := c.SealBlob(nil, 0, randomBytes("blob", size))
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = c.OpenBlob(dst[:0], 0, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
