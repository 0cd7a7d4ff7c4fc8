package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"holdfast/internal/storage/storagetest"
)

func random(seed uint64, n int) []byte {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// protected is a storage with objects of these sizes and their group.
func protected(t testing.TB, sizes []int64, percent int, survive bool) (*storagetest.Memory, string) {
	t.Helper()
	store := storagetest.NewMemory()
	var members []Member
	for i, n := range sizes {
		name := fmt.Sprintf("packs/%03d", i)
		store.Replace(name, random(uint64(i), int(n)))
		members = append(members, Member{Name: name, Size: n})
	}
	b, err := NewBuilder(ShapeOf(sizes, percent, survive), members)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		data, _ := store.Object(m.Name)
		if err := b.Add(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	name, object, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	store.Replace(name, object)
	return store, name
}

func read(t testing.TB, store *storagetest.Memory, object string) (*Group, error) {
	t.Helper()
	data, _ := store.Object(object)
	return Read(bytes.NewReader(data), int64(len(data)))
}

func examine(t testing.TB, store *storagetest.Memory, object string) Found {
	t.Helper()
	g, err := read(t, store, object)
	if err != nil {
		t.Fatal(err)
	}
	return examineGroup(t, g, store, object)
}

// examineGroup returns what is found, with the data.
func examineGroup(t testing.TB, g *Group, store *storagetest.Memory, object string) Found {
	t.Helper()
	var told []Damaged
	found, err := g.Examine(t.Context(), store, object, func(d Damaged) error {
		told = append(told, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != len(found.Damaged) {
		t.Fatalf("%d members are told, %d are found", len(told), len(found.Damaged))
	}
	found.Damaged = told
	return found
}

func TestTheShapeFollowsTheSizes(t *testing.T) {
	for _, c := range []struct {
		name    string
		sizes   []int64
		percent int
		survive bool
		want    Shape
	}{
		{"nothing", []int64{0}, 5, false, Shape{4096, 1, 2, 1}},
		{"records", []int64{200, 300, 5000}, 5, true, Shape{4096, 4, 2, 1}},
		{"a large record", []int64{200, 1 << 20}, 5, true, Shape{4096, 86, 86, 3}},
		{"a small pack", []int64{1 << 20}, 5, false, Shape{4096, 128, 7, 2}},
		{"forty packs", repeat(8<<20, 40), 5, false, Shape{16384, 199, 10, 103}},
		{"half as much again", repeat(8<<20, 4), 50, false, Shape{16384, 158, 79, 13}},
		{"twice", repeat(8<<20, 4), 100, false, Shape{16384, 121, 121, 17}},
	} {
		if got := ShapeOf(c.sizes, c.percent, c.survive); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func repeat(size int64, n int) []int64 {
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// TestWhatAStripeCanBearIsComputedAgain damages ranges, objects and parity.
func TestWhatAStripeCanBearIsComputedAgain(t *testing.T) {
	sizes := append(repeat(200_000, 30), 0, 1, 4096, 4097)
	store, object := protected(t, sizes, 10, false)
	shape := ShapeOf(sizes, 10, false)
	span := shape.Parity * shape.Stripes * shape.Block // a damaged range of that length takes all parity
	change := func(name string, from, n int) func(*storagetest.Memory) {
		return func(s *storagetest.Memory) {
			data, _ := s.Object(name)
			for i := from; i < min(from+n, len(data)); i++ {
				data[i] ^= 0x55
			}
			s.Replace(name, data)
		}
	}
	vanish := func(names ...string) func(*storagetest.Memory) {
		return func(s *storagetest.Memory) {
			for _, n := range names {
				_ = s.Delete(context.Background(), n)
			}
		}
	}
	for _, c := range []struct {
		name    string
		damage  func(*storagetest.Memory)
		damaged int // members
		mended  bool
	}{
		{"nothing", func(*storagetest.Memory) {}, 0, true},
		{"one bit", change("packs/003", 77_777, 1), 1, true},
		{"the last byte", change("packs/033", 4096, 1), 1, true},
		{"a whole object", vanish("packs/007"), 1, true},
		{"two neighbours", vanish("packs/007", "packs/008"), 2, true},
		{"an empty object", vanish("packs/030"), 1, true},
		{"cut off", func(s *storagetest.Memory) { d, _ := s.Object("packs/001"); s.Replace("packs/001", d[:10]) }, 1, true},
		{"a byte longer", func(s *storagetest.Memory) { d, _ := s.Object("packs/001"); s.Replace("packs/001", append(d, 0)) }, 1, true},
		{"a bit of every object", func(s *storagetest.Memory) {
			for i := range 30 {
				change(fmt.Sprintf("packs/%03d", i), i*6000, 1)(s)
			}
		}, 30, true},
		{"an object and the group's head", func(s *storagetest.Memory) { vanish("packs/004")(s); change(object, 9, 1)(s) }, 1, true},
		{"an object and the group's end", func(s *storagetest.Memory) {
			vanish("packs/004")(s)
			d, _ := s.Object(object)
			s.Replace(object, d[:len(d)-3])
		}, 1, true},
		{"an object and some parity", func(s *storagetest.Memory) {
			g, _ := read(t, s, object)
			vanish("packs/004")(s)
			change(object, int(g.base)+100, 1)(s)
		}, 1, true},
		{"more than there is parity", vanish("packs/001", "packs/002", "packs/003", "packs/004", "packs/005"), 5, false},
	} {
		state := store.Clone()
		c.damage(state)
		found := examine(t, state, object)
		mended := true
		for _, d := range found.Damaged {
			want, _ := store.Object(d.Name)
			if !d.Whole {
				mended = false
			} else if !bytes.Equal(d.Data, want) {
				t.Errorf("%s: %s was computed wrong", c.name, d.Name)
			}
		}
		if len(found.Damaged) != c.damaged || mended != c.mended {
			t.Errorf("%s: %d members damaged, mended %t; want %d, %t (all parity is %d bytes)", c.name, len(found.Damaged), mended, c.damaged, c.mended, span)
		}
	}
}

// TestWhatCannotBeMendedWhole is mended as far as it can be: of an object that has
// vanished together with too much else, most blocks come back.
func TestWhatCannotBeMendedWhole(t *testing.T) {
	sizes := repeat(400_000, 20)
	store, object := protected(t, sizes, 5, false)
	want, _ := store.Object("packs/005")
	_ = store.Delete(t.Context(), "packs/005")
	r := rand.New(rand.NewPCG(1, 4))
	for range 10 {
		name := fmt.Sprintf("packs/%03d", 6+r.IntN(14))
		data, _ := store.Object(name)
		data[r.IntN(len(data))] ^= 1
		store.Replace(name, data)
	}
	for _, d := range examine(t, store, object).Damaged {
		if d.Name != "packs/005" {
			continue
		}
		right := 0
		for at := 0; at < len(want); at += minBlock {
			end := min(at+minBlock, len(want))
			if bytes.Equal(d.Data[at:end], want[at:end]) {
				right++
			}
		}
		if d.Whole || right < d.Blocks/4 || right == d.Blocks {
			t.Errorf("%d of %d blocks came back, whole: %t", right, d.Blocks, d.Whole)
		}
		t.Logf("%d of %d blocks came back", right, d.Blocks)
		return
	}
	t.Error("it is not missed")
}

// TestRandomDamage flips bits everywhere, in the parity too: what the strongest
// damaged stripe can bear is mended, and what is mended is right.
func TestRandomDamage(t *testing.T) {
	sizes := repeat(150_000, 20)
	store, object := protected(t, sizes, 10, false)
	mended, given := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		state := store.Clone()
		for range 1 + r.IntN(120) {
			names := state.Names()
			name := names[r.IntN(len(names))]
			data, _ := state.Object(name)
			data[r.IntN(len(data))] ^= 1 << r.IntN(8)
			state.Replace(name, data)
		}
		g, err := read(t, state, object)
		if err != nil {
			given++ // both copies of the table were hit
			continue
		}
		found := examineGroup(t, g, state, object)
		for _, d := range found.Damaged {
			want, _ := store.Object(d.Name)
			switch {
			case !d.Whole:
				given++
			case !bytes.Equal(d.Data, want):
				t.Errorf("seed %d: %s was computed wrong", seed, d.Name)
			default:
				mended++
			}
		}
	}
	if t.Logf("%d objects mended, %d not", mended, given); mended < 100 {
		t.Errorf("only %d objects were mended", mended)
	}
}

// TestReplaceAtEveryCrash: whatever is torn, afterwards the right bytes are there.
func TestReplaceAtEveryCrash(t *testing.T) {
	store, _ := protected(t, repeat(20_000, 3), 50, true)
	want, _ := store.Object("packs/001")
	for _, vanished := range []bool{false, true} {
		before := store.Clone()
		if vanished {
			_ = before.Delete(t.Context(), "packs/001")
		} else {
			before.Replace("packs/001", want[:100])
		}
		for seed := range uint64(8) {
			for n := 0; ; n++ {
				crash := storagetest.NewCrash(before, n, seed)
				crash.Tears = true
				err := Replace(t.Context(), crash, "packs/001", want)
				if !crash.Crashed() {
					break
				}
				if err == nil {
					t.Fatal("a crash went unnoticed")
				}
				after := crash.Survivor()
				if err := Resume(t.Context(), after, nil); err != nil {
					t.Fatal(err)
				}
				if err := Replace(t.Context(), after, "packs/001", want); err != nil {
					t.Fatal(err)
				}
				if got, _ := after.Object("packs/001"); !bytes.Equal(got, want) {
					t.Errorf("crash at %d: %d bytes", n, len(got))
				}
				if _, left := after.Object(mended + "packs/001"); left {
					t.Errorf("crash at %d: something is left behind", n)
				}
			}
		}
	}
}

// TestACrashNeverTakesTheOnlyBytes: between any two changes of a Replace the right
// bytes are there, in their place or waiting.
func TestACrashNeverTakesTheOnlyBytes(t *testing.T) {
	store, _ := protected(t, repeat(20_000, 3), 50, true)
	want, _ := store.Object("packs/001")
	store.Replace("packs/001", want[:100])
	recorder := storagetest.NewRecorder(t, store.Clone())
	if err := Replace(t.Context(), recorder, "packs/001", want); err != nil {
		t.Fatal(err)
	}
	for n, state := range recorder.Prefixes() {
		placed, _ := state.Object("packs/001")
		waiting, _ := state.Object(mended + "packs/001")
		if n > 0 && !bytes.Equal(placed, want) && !bytes.Equal(waiting, want) {
			t.Errorf("after %d changes the bytes are nowhere", n)
		}
	}
}

func TestEveryCutAndFlipOfAGroupIsNoticedOrHarmless(t *testing.T) {
	store, object := protected(t, []int64{5000, 100}, 5, true)
	data, _ := store.Object(object)
	whole, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at++ {
		if inner := int64(at); inner > whole.base && inner < int64(len(data))-whole.base-2*endSize {
			at += 100 // parity
		}
		for _, bad := range [][]byte{data[:at], flipped(data, at)} {
			g, err := Read(bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("at %d: %v", at, err)
				}
				continue
			}
			if g.Shape != whole.Shape || len(g.Members) != 2 || g.Members[0] != whole.Members[0] {
				t.Fatalf("at %d: read as %+v", at, g)
			}
		}
		state := store.Clone()
		state.Replace(object, flipped(data, at))
		if found := examine(t, state, object); found.Parity == 0 {
			t.Fatalf("a flipped bit at %d goes unnoticed", at)
		}
	}
}

func flipped(data []byte, at int) []byte {
	bad := bytes.Clone(data)
	bad[at] ^= 1
	return bad
}

func FuzzRead(f *testing.F) {
	store, object := protected(f, []int64{5000, 100}, 5, true)
	data, _ := store.Object(object)
	f.Add(data)
	f.Add(data[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Read(bytes.NewReader(data), int64(len(data)))
		if err == nil && len(g.Members) > maxMembers {
			t.Error("too many members")
		}
	})
}
