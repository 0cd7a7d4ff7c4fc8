package tree

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/internal/blob"
)

// The codec is written by hand, because a walk goes through it once for each
// file. What it means is what a CBOR library makes of the tags of Entry.

// ordinary is what most of a listing consists of.
func ordinary(name string) Entry {
	return Entry{
		Name: name, Type: File, Mode: 0o644, UID: 33, GID: 33, User: "www-data", Group: "www-data",
		MTime: Time{Sec: 1_700_000_000, Nsec: 123_456_789}, CTime: Time{Sec: 1_700_000_001, Nsec: 1}, Inode: 1_234_567,
		Size: 1000, Content: Stream{Refs: []Ref{ref(1, 1000)}},
	}
}

// extremes have the numbers at which a head becomes longer, and all that is rare.
func extremes() []Entry {
	var all []Entry
	for _, n := range []uint64{1, 23, 24, math.MaxUint8, math.MaxUint8 + 1, math.MaxUint16, math.MaxUint16 + 1, math.MaxUint32,
		math.MaxUint32 + 1, math.MaxInt64, math.MaxUint64} {
		sec := int64(n >> 1)
		all = append(all,
			Entry{Name: "n", Type: CharDevice, Inode: n, Device: n, Link: n, UID: uint32(n | 1), GID: uint32(n | 1), MTime: Time{Sec: sec}, CTime: Time{Sec: -sec - 1, Nsec: uint32(n) % 1e9}},
			Entry{Name: "d", Type: Directory, Size: n, Entries: n})
	}
	for _, length := range []int{1, 23, 24, 255, 256, MaxName} {
		long := strings.Repeat("x", length)
		all = append(all, Entry{Name: long, Type: Symlink, Target: long, User: long, Group: long, Xattrs: []Xattr{{Name: long, Value: []byte(long)}}})
	}
	many := Entry{Name: "many", Type: File, Size: 1 << 40}
	data := many.Size
	for i := range uint64(300) {
		many.Xattrs = append(many.Xattrs, Xattr{Name: fmt.Sprintf("user.%03d", i), Value: bytes.Repeat([]byte{byte(i)}, int(i))})
		many.Holes = append(many.Holes, Extent{Offset: i << 20, Length: 1 << 10})
		data -= 1 << 10
	}
	for range 299 {
		many.Content.Refs = append(many.Content.Refs, ref(9, 1<<10))
		data -= 1 << 10
	}
	many.Content.Refs = append(many.Content.Refs, Ref{ID: blob.ID{8}, Level: MaxLevel, Size: data})
	return append(all, many)
}

func TestBytesAreThoseOfTheLibrary(t *testing.T) {
	for _, e := range append(append(samples(), extremes()...), ordinary("a")) {
		want, err := encoding.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendEntry([]byte("before"), &e)
		if err != nil {
			t.Fatal(err)
		}
		if head := binary.LittleEndian.Uint32(got[6:]); int(head) != len(got)-10 || !bytes.Equal(got[10:], want) || string(got[:6]) != "before" {
			t.Errorf("%.20q is encoded as\n%x, the library says\n%x", e.Name, got, want)
		}
		var back Entry
		if err := new(decoder).decode(got[10:], &back); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("decoded %+v, %v; want %+v", back, err, e)
		}
	}
}

// byLibrary decodes body as the library does, and reports whether it is the
// form in which the library writes that value. An attribute without a value has
// an empty one.
func byLibrary(body []byte) (e Entry, canonical bool) {
	if decoding.Unmarshal(body, &e) != nil || e.Validate() != nil {
		return e, false
	}
	for i := range e.Xattrs {
		if e.Xattrs[i].Value == nil {
			e.Xattrs[i].Value = []byte{}
		}
	}
	again, err := encoding.Marshal(&e)
	return e, err == nil && bytes.Equal(again, body)
}

func FuzzDecodeLikeTheLibrary(f *testing.F) {
	for _, e := range append(append(samples(), extremes()...), ordinary("a")) {
		f.Add(appendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, canonical := byLibrary(body)
		var got Entry
		err := new(decoder).decode(body, &got)
		if (err == nil) != canonical {
			t.Fatalf("%x: %v; the library takes it for canonical: %v", body, err, canonical)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("%v is no ErrInvalid", err)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%x decodes as %+v, the library says %+v", body, got, want)
		}
		if err == nil && !bytes.Equal(appendEntry(nil, &got), body) {
			t.Fatalf("%x is encoded as %x", body, appendEntry(nil, &got))
		}
	})
}

// TestEveryCutAndFlipIsAsTheLibrarySays holds without fuzzing what the fuzzer
// looks for.
func TestEveryCutAndFlipIsAsTheLibrarySays(t *testing.T) {
	check := func(body []byte) {
		want, canonical := byLibrary(body)
		var got Entry
		if err := new(decoder).decode(body, &got); (err == nil) != canonical || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%x: %+v, %v; the library says %+v, %v", body, got, err, want, canonical)
		}
	}
	for _, e := range append(samples(), extremes()[:6]...) {
		body := appendEntry(nil, &e)
		for at := range body {
			check(body[:at])
			for bit := range 8 {
				flipped := bytes.Clone(body)
				flipped[at] ^= 1 << bit
				check(flipped)
			}
		}
		check(append(bytes.Clone(body), 0))
	}
}

func TestWhatIsClaimedIsNotAllocated(t *testing.T) {
	for what, body := range map[string][]byte{
		"attributes": {0xa1, keyXattrs, 0x9a, 0, 0, 0xff, 0xff, 0x82, 0x40, 0x40},
		"holes":      {0xa1, keyHoles, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x82, 0, 0},
		"name":       {0xa1, keyName, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0},
		"content":    {0xa1, keyContent, 0x5a, 0xff, 0xff, 0xff, 0xff, 0},
		"pairs":      {0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, keyName, 0x41, 'a'},
	} {
		var e Entry
		if err := new(decoder).decode(body, &e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEntriesLargerThanTheBuffer(t *testing.T) {
	var want []Entry
	for i, n := range []int{listingBuffer - 200, listingBuffer, 3 * listingBuffer} {
		e := ordinary(fmt.Sprint(i))
		e.Xattrs = []Xattr{{Name: "user.large", Value: bytes.Repeat([]byte{1}, n)}}
		want = append(want, e, ordinary(fmt.Sprint(i, " after")))
	}
	listing := encode(t, want)
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(listing), "in halves": iotest.HalfReader(bytes.NewReader(listing)), "with EOF": iotest.DataErrReader(bytes.NewReader(listing)),
	} {
		var got []Entry
		for e, err := range Entries(r) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, e)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other entries came back", name)
		}
	}
	if _, err := decodeAll(listing[:len(listing)-300]); !errors.Is(err, ErrInvalid) {
		t.Errorf("cut in a large entry: %v", err)
	}
	broken := errors.New("the disk is broken")
	for _, err := range Entries(io.MultiReader(bytes.NewReader(listing[:len(listing)-300]), iotest.ErrReader(broken))) {
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("%v instead of the reader's error", err)
		}
	}
}

// TestEntriesKeepTheirValues: what came out stays as it is while its neighbours
// are decoded into the same memory.
func TestEntriesKeepTheirValues(t *testing.T) {
	var want []Entry
	for i := range 2000 {
		e := ordinary(fmt.Sprintf("%04d.jpg", i))
		e.User, e.Group = fmt.Sprint("u", i%3), fmt.Sprint("g", i/100)
		e.Size = uint64(1 + i)
		e.Content.Refs = []Ref{ref(byte(i), 1), ref(byte(i), e.Size)}[1:]
		want = append(want, e)
	}
	got, err := decodeAll(encode(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("other entries came back, %v", err)
	}
	first := got[0]
	_ = append(first.Content.Refs, ref(99, 99))
	if !reflect.DeepEqual(got[1], want[1]) {
		t.Error("adding to one entry's refs changed the next")
	}
}

// long is a listing of n entries with as much in each as there mostly is.
func long(t testing.TB, n int) []byte {
	var entries []Entry
	for i := range n {
		entries = append(entries, ordinary(fmt.Sprintf("%07d.jpg", i)))
	}
	return encode(t, entries)
}

func TestNothingIsAllocatedForEachEntry(t *testing.T) {
	const n = 10_000
	listing, r := long(t, n), bytes.NewReader(nil)
	buffer := bufio.NewReaderSize(nil, listingBuffer)
	perListing := testing.AllocsPerRun(5, func() {
		r.Reset(listing)
		buffer.Reset(r)
		var d decoder
		var e Entry
		for d.next(buffer, &e) == nil {
		}
	})
	if perEntry := perListing / n; perEntry > 0.05 {
		t.Errorf("%.3f allocations for each entry decoded", perEntry)
	}
	e := ordinary("name")
	var dst []byte
	if allocs := testing.AllocsPerRun(100, func() { dst, _ = AppendEntry(dst[:0], &e) }); allocs != 0 {
		t.Errorf("%.0f allocations for an entry encoded", allocs)
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	const n = 1000
	listing := long(b, n)
	r := bytes.NewReader(nil)
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		r.Reset(listing)
		for _, err := range Entries(r) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkEncodeEntry(b *testing.B) {
	e := ordinary("0000001.jpg")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendEntry(dst[:0], &e); err != nil {
			b.Fatal(err)
		}
	}
}
