package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
)

func hashed(n int) blob.ID {
	return blake3.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func TestAFilterKnowsWhatWasAddedAndHardlyAnythingElse(t *testing.T) {
	for _, n := range []int{0, 1, 100, 20_000} {
		f := newFilter(n)
		for i := range n {
			id := hashed(i)
			f.add(&id)
		}
		for i := range n {
			if id := hashed(i); !f.mayHave(&id) {
				t.Fatalf("of %d ids number %d is missing", n, i)
			}
		}
		passed := 0
		for i := range 20_000 {
			if id := hashed(1<<40 + i); f.mayHave(&id) {
				passed++
			}
		}
		if passed > 20_000/50 {
			t.Errorf("with %d ids %d of 20,000 others pass", n, passed)
		}
	}
}

// countingReader counts reads, and fails when it is told to.
type countingReader struct {
	io.ReaderAt
	reads int
	err   error
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	if c.err != nil {
		return 0, c.err
	}
	return c.ReaderAt.ReadAt(p, off)
}

func TestASegmentWithAFilterIsReadOnlyForWhatItKnows(t *testing.T) {
	var b Builder
	p := Pack{Name: [32]byte{1}, Size: 1 << 20}
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, Entry{ID: hashed(i), Offset: 100, Sealed: 50, Length: 40, Number: uint32(i)})
	}
	b.AddPack(p, entries)
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	at := &countingReader{ReaderAt: bytes.NewReader(data)}
	s, err := OpenFiltered(at, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if has, err := s.Has(hashed(i)); !has || err != nil {
			t.Fatalf("blob %d: %v, %v", i, has, err)
		}
	}
	at.reads = 0
	for i := range 10_000 {
		if has, err := s.Has(hashed(1<<40 + i)); has || err != nil {
			t.Fatalf("a blob that is not there: %v, %v", has, err)
		}
	}
	if at.reads > 500 {
		t.Errorf("%d reads for 10,000 unknown blobs", at.reads)
	}
	broken := errors.New("no route to host")
	at.err = broken
	if _, err := s.Has(hashed(1)); !errors.Is(err, broken) {
		t.Errorf("error is %v, want the storage's", err)
	}
	if _, err := OpenFiltered(at, int64(len(data))); !errors.Is(err, broken) {
		t.Errorf("error is %v, want the storage's", err)
	}
}
