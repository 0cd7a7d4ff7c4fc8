package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"holdfast/internal/blob"
)

// id returns a blob id that looks like a hash and is the same in every run.
func id(n int) (id blob.ID) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(n))
	_, _ = rand.NewChaCha8(seed).Read(id[:]) // never fails
	return id
}

func packOf(n int) Pack {
	return Pack{Name: [32]byte(id(-1 - n)), Salt: [32]byte{byte(n)}, Epoch: uint32(n + 1), Size: 64 << 20, Session: [10]byte{byte(n), 9: 1}}
}

// packed is what one pack holds, as AddPack is given it.
type packed struct {
	pack    Pack
	entries []Entry
}

// samplePacks puts count blobs into packs; every third is a delta, every
// hundredth has copies in several packs.
func samplePacks(count int, idOf func(int) blob.ID) []packed {
	packs := make([]packed, 1+count/200)
	for i := range packs {
		packs[i].pack = packOf(i)
	}
	for n := range count {
		copies := 1
		if n%100 == 0 {
			copies = 4
		}
		for c := range copies {
			p := &packs[(n+c)%len(packs)]
			e := Entry{ID: idOf(n), Offset: uint32(48 + 100*len(p.entries)), Sealed: 100, Length: uint32(n), Number: uint32(len(p.entries)), Encoding: 1}
			if (n+c)%3 == 0 {
				e.Depth, e.Encoding, e.Bases = uint8(1+n%24), 2, []blob.ID{idOf(n + 1)}
				for b := range n % 8 {
					e.Bases = append(e.Bases, idOf(n+2+b))
				}
			}
			p.entries = append(p.entries, e)
		}
	}
	return packs
}

// model is what a correct index says, found the slow way.
type model map[blob.ID][]Entry

func newModel(packs []packed) model {
	m := model{}
	for _, p := range packs {
		for _, e := range p.entries {
			e.Pack = p.pack
			if !slices.ContainsFunc(m[e.ID], func(o Entry) bool { return byDepth(e, o) == 0 }) {
				m[e.ID] = append(m[e.ID], e)
			}
		}
	}
	for _, entries := range m {
		slices.SortFunc(entries, byDepth)
	}
	return m
}

// sorted orders one blob's copies, where an index promises only their depths.
func sorted(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, byDepth)
	return entries
}

type lookuper interface {
	Has(blob.ID) (bool, error)
	Lookup(blob.ID) ([]Entry, error)
}

// check asks for every id of the model and for some that are not there.
func (m model) check(t *testing.T, what string, x lookuper) {
	t.Helper()
	for want, copies := range m {
		got, err := x.Lookup(want)
		if err != nil || !reflect.DeepEqual(sorted(got), copies) {
			t.Fatalf("%s: blob %s: %+v, %v; want %+v", what, want.Short(), got, err, copies)
		}
		if !slices.IsSortedFunc(got, func(a, b Entry) int { return cmp.Compare(a.Depth, b.Depth) }) {
			t.Errorf("%s: blob %s: not the lowest depth first", what, want.Short())
		}
		if has, err := x.Has(want); !has || err != nil {
			t.Errorf("%s: blob %s: %v, %v", what, want.Short(), has, err)
		}
		// Neighbours are the hardest to tell apart.
		for _, step := range []int{-1, 1} {
			other := want
			other[31] += byte(step)
			if m[other] != nil {
				continue
			}
			if has, err := x.Has(other); has || err != nil {
				t.Errorf("%s: a blob that is not there: %v, %v", what, has, err)
			}
		}
	}
	for _, other := range []blob.ID{{}, blob.ID(bytes.Repeat([]byte{0xff}, 32)), id(1 << 40)} {
		if m[other] != nil {
			continue
		}
		if got, err := x.Lookup(other); len(got) != 0 || err != nil {
			t.Errorf("%s: a blob that is not there: %+v, %v", what, got, err)
		}
	}
}

func encode(t testing.TB, packs []packed, superseded ...SegmentName) []byte {
	t.Helper()
	var b Builder
	for _, p := range packs {
		b.AddPack(p.pack, p.entries)
	}
	for _, name := range superseded {
		b.Supersede(name)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openSegment(t testing.TB, data []byte) *Segment {
	t.Helper()
	s, err := OpenSegment(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func segment(t testing.TB, packs []packed, superseded ...SegmentName) *Segment {
	t.Helper()
	return openSegment(t, encode(t, packs, superseded...))
}

// distributions of ids, of which only the first is what hashes give.
var distributions = map[string]func(int) blob.ID{
	"even": id,
	"one byte": func(n int) blob.ID {
		out := id(n)
		out[0] = 0x7f
		return out
	},
	"counting": func(n int) blob.ID {
		var out blob.ID
		binary.BigEndian.PutUint64(out[:], uint64(n))
		return out
	},
	"only the end differs": func(n int) blob.ID {
		out := blob.ID(bytes.Repeat([]byte{0xff}, 32))
		binary.BigEndian.PutUint32(out[28:], uint32(n))
		return out
	},
	"growing": func(n int) blob.ID {
		var out blob.ID
		binary.BigEndian.PutUint64(out[:], 1<<(n%64)+uint64(n)<<(n%50))
		binary.BigEndian.PutUint64(out[24:], uint64(n))
		return out
	},
}

func TestAnIndexFindsWhatItsPartsKnow(t *testing.T) {
	packs := samplePacks(3000, id)
	third := len(packs) / 3
	dir := t.TempDir()
	old := map[SegmentName]*Segment{{1}: segment(t, packs[:third])}
	if err := Build(t.Context(), dir, old); err != nil {
		t.Fatal(err)
	}
	local, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	x := New(local, segment(t, packs[third:2*third]))
	newModel(packs[:2*third]).check(t, "copy and a segment", x)
	x.Add(segment(t, packs[2*third:]))
	newModel(packs).check(t, "copy and two segments", x)
	x.Add(segment(t, packs[third-2:third+2]))
	newModel(packs).check(t, "with what was told twice", x)

	if err := x.Replace(nil, segment(t, packs[:2])); err != nil {
		t.Fatal(err)
	}
	newModel(packs[:2]).check(t, "another one", x)
	if _, err := local.Has(id(0)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the copy before was not closed: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

func TestAClosedIndexSaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := Build(t.Context(), dir, map[SegmentName]*Segment{{1}: segment(t, samplePacks(10, id))}); err != nil {
		t.Fatal(err)
	}
	local, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	x := New(local)
	for range 2 {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := x.Has(id(1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("has: %v", err)
	}
	if _, err := x.Lookup(id(1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("lookup: %v", err)
	}
	said := false
	for _, err := range local.All() {
		said = errors.Is(err, fs.ErrClosed)
	}
	if !said {
		t.Error("all: nothing")
	}
}

func TestAnIndexIsReadWhileItChanges(t *testing.T) {
	packs := samplePacks(2000, id)
	dir := t.TempDir()
	all := map[SegmentName]*Segment{{1}: segment(t, packs)}
	if err := Build(t.Context(), dir, all); err != nil {
		t.Fatal(err)
	}
	openCopy := func() *Copy {
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	x := New(openCopy())
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for g := range 3 {
		readers.Go(func() {
			for n := g; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := id(n % 2000)
				if has, err := x.Has(want); !has || err != nil {
					t.Errorf("%v, %v", has, err)
					return
				}
				if got, err := x.Lookup(want); len(got) == 0 || err != nil {
					t.Errorf("%d copies, %v", len(got), err)
					return
				}
			}
		})
	}
	for n := range 300 {
		if n%6 == 0 {
			x.Add(segment(t, packs[n%len(packs):][:1]))
		}
		if err := x.Replace(openCopy()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

func TestHasAllocatesNothing(t *testing.T) {
	packs := samplePacks(20000, id)
	dir := t.TempDir()
	if err := Build(t.Context(), dir, map[SegmentName]*Segment{{1}: segment(t, packs)}); err != nil {
		t.Fatal(err)
	}
	local, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	x := New(local, segment(t, packs[:50]), segment(t, packs[50:]))
	defer x.Close()
	n := 0
	allocations := testing.AllocsPerRun(1000, func() {
		n++
		if _, err := x.Has(blob.ID{byte(n), byte(n >> 8), 1}); err != nil {
			t.Fatal(err)
		}
		if has, err := x.parts.Load().segments[0].Has(packs[0].entries[n%50].ID); !has || err != nil {
			t.Fatal(has, err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestSegmentNames(t *testing.T) {
	name := SegmentName{0xab, 15: 0x01}
	const object = "index/ab000000000000000000000000000001"
	if ObjectName(name) != object {
		t.Error(ObjectName(name))
	}
	if got, err := ParseObjectName(object); got != name || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	for _, wrong := range []string{"", "index/", object[:len(object)-1], object + "0", "index/AB" + object[8:], object[6:], "packs/" + object[6:], "index/" + object} {
		if _, err := ParseObjectName(wrong); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
