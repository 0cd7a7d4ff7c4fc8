package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

func placed() (blobs []Placed, end uint32) {
	end = seal.PackHeaderSize
	for i, s := range samples() {
		b := Placed{s.Blob, uint32(i), end, uint32(len(s.payload) + seal.Overhead)}
		blobs, end = append(blobs, b), end+b.Sealed
	}
	return blobs, end
}

// What a directory says is checked although its tag was right: the writer may
// have been wrong.
func TestDirectoriesThatMakeNoSense(t *testing.T) {
	blobs, end := placed()
	good := appendDirectory(nil, session, blobs)
	if got, parsed, err := parseDirectory(good, end); err != nil || got != session || len(parsed) != len(blobs) {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"no blobs":                  func(d []byte) []byte { return binary.LittleEndian.AppendUint32(d[:12], 0) },
		"2^32 blobs":                func(d []byte) []byte { binary.LittleEndian.PutUint32(d[12:], 1<<32-1); return d },
		"more blobs than allowed":   func(d []byte) []byte { binary.LittleEndian.PutUint32(d[12:], MaxBlobs+1); return d },
		"one blob fewer":            func(d []byte) []byte { d[12]--; return d },
		"one blob more":             func(d []byte) []byte { d[12]++; return d },
		"a byte behind it":          func(d []byte) []byte { return append(d, 0) },
		"session of eleven bytes":   func(d []byte) []byte { d[10] = 1; return d },
		"a blob smaller than a tag": func(d []byte) []byte { binary.LittleEndian.PutUint32(d[16+36:], 15); return d },
		"a blob over the end":       func(d []byte) []byte { binary.LittleEndian.PutUint32(d[16+36:], 1<<32-1); return d },
		"sealed length off by one":  func(d []byte) []byte { d[16+36]++; return d },
		"lengths that go round once": func(d []byte) []byte {
			d[16+39] ^= 0x80 // 2^31 bytes more in each of the first two
			d[16+entrySize+39] ^= 0x80
			return d
		},
		"a blob too large":    func(d []byte) []byte { binary.LittleEndian.PutUint32(d[16+32:], MaxBlob+1); return d },
		"encoding 4":          func(d []byte) []byte { d[16+40] = 4; return d },
		"depth without bases": func(d []byte) []byte { d[16+41] = 1; return d },
		"255 bases":           func(d []byte) []byte { d[16+42] = 255; return d },
	} {
		if _, _, err := parseDirectory(change(bytes.Clone(good)), end); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	for at := range good {
		if _, _, err := parseDirectory(good[:at], end); err == nil {
			t.Errorf("cut at %d: no error", at)
		}
	}
	for _, wrong := range []uint32{0, seal.PackHeaderSize, end - 1, end + 1} {
		if _, _, err := parseDirectory(good, wrong); err == nil {
			t.Errorf("in a pack whose blobs end at %d: no error", wrong)
		}
	}
}

func TestADirectoryIsNotBelievedBeforeItsSizeIsCompared(t *testing.T) {
	blobs, end := placed()
	forged := appendDirectory(nil, session, blobs)
	binary.LittleEndian.PutUint32(forged[12:], MaxBlobs)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := parseDirectory(forged, end)
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; err == nil || spent > 1<<20 {
		t.Errorf("%v, %d bytes allocated", err, spent)
	}
}

func FuzzParseDirectory(f *testing.F) {
	blobs, end := placed()
	f.Add(appendDirectory(nil, session, blobs), end)
	f.Add(appendDirectory(nil, session, blobs[:1]), blobs[1].Offset)
	f.Fuzz(func(t *testing.T, data []byte, end uint32) {
		session, blobs, err := parseDirectory(data, end)
		if err == nil && !bytes.Equal(appendDirectory(nil, session, blobs), data) {
			t.Error("two forms of one directory")
		}
	})
}

func FuzzReadDirectory(f *testing.F) {
	keys := newKeys(f, "fuzz")
	object := ObjectName([32]byte{})
	f.Add(build(f, keys, samples()).Data)
	f.Add(build(f, keys, samples()[:1]).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, blobs, err := read(keys, object, data)
		if err != nil {
			return
		}
		for _, b := range blobs {
			_ = data[b.Offset:][:b.Sealed]
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	builder, err := NewBuilder(newKeys(b, "a"), session)
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 32<<10)
	whole := Blob{ID: id(1), Length: 64 << 10, Encoding: Zstd}
	delta := Blob{ID: id(2), Length: 64 << 10, Encoding: Delta, Depth: 1, Bases: []blob.ID{id(1)}}
	for name, blob := range map[string]Blob{"whole": whole, "delta": delta} {
		b.Run(fmt.Sprintf("%s/%dKiB", name, len(payload)>>10), func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if builder.Size() > 16<<20 {
					if err := builder.Reset(); err != nil {
						b.Fatal(err)
					}
				}
				if err := builder.Add(blob, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A pack of 16 MB: filled, named, and its directory read again.
func BenchmarkPack(b *testing.B) {
	const blobs, payloadSize = 512, 32 << 10
	keys := newKeys(b, "a")
	builder, err := NewBuilder(keys, session)
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]blob.ID, blobs)
	for i := range ids {
		ids[i] = id(i)
	}
	payload := make([]byte, payloadSize)
	fill := func(b *testing.B) *Pack {
		if err := builder.Reset(); err != nil {
			b.Fatal(err)
		}
		for i := range ids {
			if err := builder.Add(Blob{ID: ids[i], Length: 64 << 10, Encoding: Zstd}, payload); err != nil {
				b.Fatal(err)
			}
		}
		p, err := builder.Finish()
		if err != nil {
			b.Fatal(err)
		}
		p.Name = Name(p.Data)
		return p
	}
	b.Run("fill", func(b *testing.B) {
		b.SetBytes(blobs * payloadSize)
		b.ReportAllocs()
		for b.Loop() {
			fill(b)
		}
	})
	p := fill(b)
	object, at := ObjectName(p.Name), bytes.NewReader(p.Data)
	b.Run("directory", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := ReadDirectory(keys, object, int64(len(p.Data)), at); err != nil {
				b.Fatal(err)
			}
		}
	})
}
