package pack

import (
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

func TestABuilderMakesPackAfterPack(t *testing.T) {
	b, err := NewBuilder(newKeys(t, "a"), session)
	if err != nil {
		t.Fatal(err)
	}
	var salts [][32]byte
	var first []Placed
	for round := range 3 {
		for _, s := range samples() {
			before := b.Size()
			if err := b.Add(s.Blob, s.payload); err != nil {
				t.Fatal(err)
			}
			if grown := b.Size() - before; grown != len(s.payload)+16+43+32*len(s.Bases) {
				t.Errorf("a blob of %d bytes makes the pack %d larger", len(s.payload), grown)
			}
		}
		want := b.Size()
		p, err := b.Finish()
		if err != nil || len(p.Data) != want || b.Size() != want || b.Count() != len(samples()) {
			t.Fatalf("round %d: %d bytes, want %d; %v", round, len(p.Data), want, err)
		}
		if _, err := b.Finish(); err == nil || b.Add(samples()[0].Blob, nil) == nil {
			t.Error("a finished pack goes on")
		}
		if salts = append(salts, p.Salt); round == 0 {
			first = p.Blobs
		}
		if err := b.Reset(); err != nil || b.Count() != 0 {
			t.Fatal(err)
		}
	}
	if salts[0] == salts[1] || salts[1] == salts[2] {
		t.Error("two packs with one salt")
	}
	for n := range len(samples()) {
		if err := b.Add(Blob{ID: id(50 + n), Encoding: Delta, Depth: 9, Bases: []blob.ID{id(60 + n)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(first, build(t, newKeys(t, "b"), samples()).Blobs) {
		t.Error("what the first pack holds has changed since")
	}
	if err := b.Reset(); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Finish(); err == nil {
		t.Errorf("an empty pack of %d bytes", len(p.Data))
	}
}

func TestABuilderKeepsNothingOfTheCallers(t *testing.T) {
	keys := newKeys(t, "a")
	b, err := NewBuilder(keys, session)
	if err != nil {
		t.Fatal(err)
	}
	bases, payload := []blob.ID{id(9)}, []byte("delta")
	if err := b.Add(Blob{ID: id(1), Length: 3, Encoding: Delta, Depth: 1, Bases: bases}, payload); err != nil {
		t.Fatal(err)
	}
	bases[0], payload[0] = blob.ID{}, 'X'
	p, err := b.Finish()
	if err != nil || p.Blobs[0].Bases[0] != id(9) {
		t.Errorf("bases %v, %v", p.Blobs[0].Bases, err)
	}
}

func TestWhatDoesNotBelongIntoAPack(t *testing.T) {
	bases := make([]blob.ID, MaxBases+1)
	for what, c := range map[string]sample{
		"a blob too large":          {Blob{Length: MaxBlob + 1}, nil},
		"an unknown encoding":       {Blob{Encoding: 4}, nil},
		"a delta without a base":    {Blob{Encoding: Delta, Depth: 1}, nil},
		"a delta of depth 0":        {Blob{Encoding: Delta, Bases: bases[:1]}, nil},
		"a delta of nine bases":     {Blob{Encoding: Delta, Depth: 1, Bases: bases}, nil},
		"a whole blob with a base":  {Blob{Bases: bases[:1]}, nil},
		"a whole blob with a depth": {Blob{Depth: 1}, nil},
		"a payload without room":    {Blob{}, make([]byte, MaxSize)},
	} {
		b, err := NewBuilder(newKeys(t, "a"), session)
		if err != nil {
			t.Fatal(err)
		}
		size := b.Size()
		if err := b.Add(c.Blob, c.payload); err == nil || b.Count() != 0 || b.Size() != size {
			t.Errorf("%s was added: %v", what, err)
		}
	}
}

func TestAPackTakesWhatItsBoundAllows(t *testing.T) {
	keys := newKeys(t, "a")
	b, err := NewBuilder(keys, session)
	if err != nil {
		t.Fatal(err)
	}
	room := MaxSize - b.Size() - entrySize - seal.Overhead
	if err := b.Add(Blob{ID: id(1)}, make([]byte, room+1)); err == nil {
		t.Error("one byte too much was added")
	}
	if err := b.Add(Blob{ID: id(1)}, make([]byte, room)); err != nil {
		t.Fatal(err)
	}
	p, err := b.Finish()
	if err != nil || len(p.Data) != MaxSize {
		t.Fatalf("%v", err)
	}
	p.Name = Name(p.Data)
	if _, _, err := read(keys, ObjectName(p.Name), p.Data); err != nil {
		t.Error(err)
	}
}

func TestABuilderNeedsRandomness(t *testing.T) {
	root, err := seal.NewRoot(random("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBuilder(seal.NewKeys(root, iotest.ErrReader(io.ErrClosedPipe)), session); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}
