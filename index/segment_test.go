package index

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/bits"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/blob"
)

var update = flag.Bool("update", false, "write the golden segment anew")

func TestSegmentsFindEveryCopy(t *testing.T) {
	for name, idOf := range distributions {
		for _, count := range []int{0, 1, 2, 63, 64, 65, 2000} {
			packs := samplePacks(count, idOf)
			newModel(packs).check(t, fmt.Sprintf("%s, %d blobs", name, count), segment(t, packs))
		}
	}
}

func TestSegmentsFindManyCopiesOfOneBlob(t *testing.T) {
	for _, before := range []int{0, 1, 30, 63, 64} {
		packs := []packed{{pack: packOf(0)}}
		for n := range before + 40 {
			e := Entry{ID: blob.ID{1}, Offset: 48, Sealed: 16, Number: uint32(n)}
			if n >= before {
				e.ID = blob.ID{1, 1}
			}
			packs[0].entries = append(packs[0].entries, e)
		}
		got, err := segment(t, packs).Lookup(blob.ID{1, 1})
		if err != nil || len(got) != 40 {
			t.Errorf("behind %d others: %d copies of 40, %v", before, len(got), err)
		}
	}
}

func TestASegmentTellsAllItHolds(t *testing.T) {
	for _, count := range []int{0, 1, 4000} {
		packs := samplePacks(count, id)
		s := segment(t, packs, SegmentName{2}, SegmentName{1}, SegmentName{2})
		got := model{}
		var last blob.ID
		for e, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if e.ID.Compare(last) < 0 {
				t.Errorf("%s behind %s", e.ID.Short(), last.Short())
			}
			last = e.ID
			got[e.ID] = append(got[e.ID], e)
		}
		for i := range got {
			got[i] = sorted(got[i])
		}
		if !reflect.DeepEqual(got, newModel(packs)) {
			t.Errorf("%d blobs: other entries than were added", count)
		}
		if len(s.Packs()) != len(packs) || !slices.Equal(s.Superseded(), []SegmentName{{1}, {2}}) {
			t.Errorf("%d packs, superseded %v", len(s.Packs()), s.Superseded())
		}
		for range s.All() {
			break // whoever has enough may stop
		}
	}
}

func TestTheOrderOfAddingDoesNotMatter(t *testing.T) {
	packs := samplePacks(1000, id)
	want := encode(t, packs)
	slices.Reverse(packs)
	for _, p := range packs {
		slices.Reverse(p.entries)
	}
	if !bytes.Equal(encode(t, packs), want) {
		t.Error("reversed: another segment")
	}
	if !bytes.Equal(encode(t, append(packs, packs[3])), want) {
		t.Error("a pack twice: another segment")
	}
}

func TestWhatIsNoEntryIsNotEncoded(t *testing.T) {
	good := Entry{ID: id(1), Offset: 48, Sealed: 16, Length: 1}
	p := Pack{Size: 64}
	for what, change := range map[string]func(*Entry){
		"in the pack's header":     func(e *Entry) { e.Offset = 47 },
		"behind the pack's end":    func(e *Entry) { e.Sealed = 17 },
		"far behind it":            func(e *Entry) { e.Sealed = 1<<32 - 1 },
		"smaller than a tag":       func(e *Entry) { e.Sealed = 15 },
		"longer than a blob":       func(e *Entry) { e.Length = 16<<20 + 1 },
		"of an unknown encoding":   func(e *Entry) { e.Encoding = 4 },
		"a delta without bases":    func(e *Entry) { e.Encoding, e.Depth = 2, 1 },
		"a delta of depth 0":       func(e *Entry) { e.Encoding, e.Bases = 2, make([]blob.ID, 1) },
		"a delta of nine bases":    func(e *Entry) { e.Encoding, e.Depth, e.Bases = 2, 1, make([]blob.ID, 9) },
		"a delta of 256 bases":     func(e *Entry) { e.Encoding, e.Depth, e.Bases = 2, 1, make([]blob.ID, 256) },
		"a whole blob with a base": func(e *Entry) { e.Bases = make([]blob.ID, 1) },
	} {
		var b Builder
		e := good
		change(&e)
		b.AddPack(p, []Entry{e})
		if _, err := b.Encode(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	var b Builder
	b.AddPack(p, []Entry{good})
	if _, err := b.Encode(); err != nil {
		t.Error(err)
	}
	b.AddPack(Pack{Size: 65}, nil)
	if _, err := b.Encode(); err == nil {
		t.Error("one pack of two sizes: no error")
	}
}

// The page docs/format.md, section 5, for two entries.
func TestSegmentByThePage(t *testing.T) {
	p := Pack{Name: [32]byte{1: 1}, Salt: [32]byte{2}, Epoch: 3, Size: 0x04050607, Session: [10]byte{8}}
	var b Builder
	b.AddPack(p, []Entry{
		{ID: blob.ID{0x90}, Offset: 0x48, Sealed: 0x49, Length: 0x50, Number: 0x51, Encoding: 3, Depth: 4, Bases: []blob.ID{{5}, {6}}},
		{ID: blob.ID{0x10}, Offset: 0x30, Sealed: 0x18, Length: 8, Encoding: 1},
	})
	b.Supersede(SegmentName{7})
	got, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	u32 := func(numbers ...uint32) (out []byte) {
		for _, n := range numbers {
			out = binary.LittleEndian.AppendUint32(out, n)
		}
		return out
	}
	padded := func(size int, parts ...[]byte) []byte {
		return append(slices.Concat(parts...), make([]byte, size)...)[:size]
	}
	fanout := u32(slices.Concat(make([]uint32, 0x10), slices.Repeat([]uint32{1}, 0x80), slices.Repeat([]uint32{2}, 0x70))...)
	want := slices.Concat([]byte("HFIX"), u32(1, 1, 2, 2, 0), padded(16, []byte{7}),
		padded(88, padded(32, []byte{0, 1}), padded(32, []byte{2}), u32(3, 0x04050607), []byte{8}),
		fanout,
		padded(64, padded(32, []byte{0x10}), u32(0, 0x30, 0x18, 8, 0, 0), []byte{1}),
		padded(64, padded(32, []byte{0x90}), u32(0, 0x48, 0x49, 0x50, 0x51, 0), []byte{3, 4, 2}),
		padded(32, []byte{5}), padded(32, []byte{6}))
	if !bytes.Equal(got, want) {
		t.Errorf("segment\n%x, want\n%x", got, want)
	}
}

func TestGoldenSegment(t *testing.T) {
	const path = "testdata/golden.segment.hex"
	packs := samplePacks(40, id)
	data := encode(t, packs, SegmentName{1}, SegmentName{2})
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(committed, data) {
		t.Errorf("the code makes another segment than the committed one, %v", err)
	}
	newModel(packs).check(t, "the committed segment", openSegment(t, committed))
}

// decode reads everything and encodes it again.
func decode(data []byte) ([]byte, error) {
	s, err := OpenSegment(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var b Builder
	for _, p := range s.Packs() {
		b.AddPack(p, nil)
	}
	for _, name := range s.Superseded() {
		b.Supersede(name)
	}
	var entries []Entry
	for e, err := range s.All() {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		b.AddPack(e.Pack, []Entry{e})
	}
	for _, e := range entries {
		if found, err := s.Lookup(e.ID); err != nil || !slices.ContainsFunc(found, func(f Entry) bool { return reflect.DeepEqual(f, e) }) {
			return nil, fmt.Errorf("blob %s is there and not found: %v", e.ID.Short(), err)
		}
	}
	return b.Encode()
}

// A segment is sealed, so what is decoded was written by a Holdfast; still it is
// refused, or it is a segment in its only form.
func TestCutOrFlippedAnywhereASegmentIsRefusedOrAnother(t *testing.T) {
	data := encode(t, samplePacks(7, id), SegmentName{1}, SegmentName{2})
	if again, err := decode(data); err != nil || !bytes.Equal(again, data) {
		t.Fatal(err)
	}
	for at := range data {
		if _, err := decode(data[:at]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
		for _, bit := range []byte{0x01, 0x80} {
			flipped := bytes.Clone(data)
			flipped[at] ^= bit
			again, err := decode(flipped)
			if err != nil && !errors.Is(err, ErrDamaged) || err == nil && !bytes.Equal(again, flipped) {
				t.Errorf("flipped at %d: %v", at, err)
			}
		}
	}
	if _, err := decode(append(bytes.Clone(data), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("and a byte: %v", err)
	}
}

func TestASegmentIsNotBelievedBeforeItsSizeIsCompared(t *testing.T) {
	data := encode(t, samplePacks(3, id))
	for at := 4; at < 24; at += 4 {
		for _, n := range []uint32{1 << 16, 1<<20 + 1, 1<<28 + 1, 1<<32 - 1} {
			forged := bytes.Clone(data)
			binary.LittleEndian.PutUint32(forged[at:], n)
			if _, err := OpenSegment(bytes.NewReader(forged), int64(len(forged))); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d at %d: %v", n, at, err)
			}
		}
	}
	for _, size := range []int64{-1, 0, 23, int64(len(data)) + 1} {
		if _, err := OpenSegment(bytes.NewReader(data), size); !errors.Is(err, ErrDamaged) {
			t.Errorf("as %d bytes: %v", size, err)
		}
	}
}

// distant is a segment that can no longer be reached.
type distant struct {
	io.ReaderAt
	err error
}

func (d *distant) ReadAt(p []byte, off int64) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	return d.ReaderAt.ReadAt(p, off)
}

func TestASegmentPassesItsReadersErrorsOn(t *testing.T) {
	data := encode(t, samplePacks(100, id))
	at := &distant{ReaderAt: bytes.NewReader(data)}
	s, err := OpenSegment(at, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	at.err = errors.New("connection reset")
	if _, err := s.Has(id(1)); !errors.Is(err, at.err) {
		t.Errorf("has: %v", err)
	}
	if _, err := s.Lookup(id(1)); !errors.Is(err, at.err) {
		t.Errorf("lookup: %v", err)
	}
	n := 0
	for _, err := range s.All() {
		if n++; !errors.Is(err, at.err) || n > 1 {
			t.Errorf("all: %v", err)
		}
	}
	if _, err := OpenSegment(at, int64(len(data))); !errors.Is(err, at.err) {
		t.Errorf("open: %v", err)
	}
}

// counted tells how much a lookup reads.
type counted struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

func TestALookupReadsLittle(t *testing.T) {
	data := encode(t, samplePacks(100_000, id))
	at := &counted{ReaderAt: bytes.NewReader(data)}
	s, err := OpenSegment(at, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	at.reads, at.bytes = 0, 0
	for n := range 1000 {
		if has, err := s.Has(id(n * 99)); !has || err != nil {
			t.Fatal(has, err)
		}
		if has, err := s.Has(id(200_000 + n)); has || err != nil {
			t.Fatal(has, err)
		}
	}
	if at.reads > 2000*2 || at.bytes > 2000*2*windowSize {
		t.Errorf("2,000 lookups among 100,000 blobs read %d times, %d bytes", at.reads, at.bytes)
	}
}

func TestALookupEndsSoonWhateverTheIDs(t *testing.T) {
	for name, idOf := range distributions {
		const count = 20_000
		data := encode(t, samplePacks(count, idOf))
		at := &counted{ReaderAt: bytes.NewReader(data)}
		s, err := OpenSegment(at, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		worst := 0
		for n := range count {
			at.reads = 0
			if has, err := s.Has(idOf(n)); !has || err != nil {
				t.Fatal(has, err)
			}
			worst = max(worst, at.reads)
		}
		if halvings := bits.Len(count / window); worst > guesses+halvings+2 {
			t.Errorf("%s: %d reads for one lookup", name, worst)
		}
	}
}

func TestASegmentHasNoBasesWithoutABlob(t *testing.T) {
	data := append(encode(t, samplePacks(5, id)), make([]byte, blob.Size)...)
	data[16]++
	if _, err := decode(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

func TestASupersededSegmentDoesNotCount(t *testing.T) {
	s := func(superseded ...SegmentName) *Segment { return segment(t, nil, superseded...) }
	got := Current(map[SegmentName]*Segment{{1}: s(), {2}: s(SegmentName{1}), {3}: s(SegmentName{9}), {4}: s(SegmentName{2})})
	if names := sortedNames(got); !slices.Equal(names, []SegmentName{{3}, {4}}) {
		t.Errorf("%v", names)
	}
}

func FuzzOpenSegment(f *testing.F) {
	f.Add(encode(f, nil))
	f.Add(encode(f, samplePacks(1, id)))
	f.Add(encode(f, samplePacks(10, id), SegmentName{1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := decode(data)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		if err == nil && !bytes.Equal(again, data) {
			t.Error("two forms of one segment")
		}
		if s, err := OpenSegment(bytes.NewReader(data), int64(len(data))); err == nil {
			for n := range 256 {
				_, _ = s.Lookup(blob.ID{byte(n)})
			}
		}
	})
}
