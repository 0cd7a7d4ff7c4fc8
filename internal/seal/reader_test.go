package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/internal/seal"
)

// counted is storage that tells how much was read.
type counted struct {
	io.ReaderAt
	reads, bytes atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.ReaderAt.ReadAt(p, off)
}

func openReader(t testing.TB, k *seal.Keys, object []byte) (*seal.Reader, *counted) {
	t.Helper()
	at := &counted{ReaderAt: bytes.NewReader(object)}
	r, err := k.OpenReader(seal.Segment, "index/x", int64(len(object)), at)
	if err != nil {
		t.Fatal(err)
	}
	return r, at
}

func TestReaderGivesThePlaintextFromAnyPlace(t *testing.T) {
	k := newKeys(t, "a", 1)
	pcg := rand.New(rand.NewPCG(1, 2))
	for _, size := range append(slices.Clone(edges), 40*frame+123) {
		plaintext := randomBytes("reader", size)
		r, _ := openReader(t, k, mustSeal(t, k, seal.Segment, "index/x", plaintext))
		if r.Size() != int64(size) {
			t.Fatalf("size %d, want %d", r.Size(), size)
		}
		want := bytes.NewReader(plaintext)
		for range 50 {
			off, n := pcg.Int64N(int64(size)+2), pcg.IntN(size+3)
			got, expected := make([]byte, n), make([]byte, n)
			gotN, gotErr := r.ReadAt(got, off)
			wantN, wantErr := want.ReadAt(expected, off)
			if gotN != wantN || !bytes.Equal(got, expected) || (n > 0 && gotErr != wantErr) {
				t.Fatalf("%d bytes at %d of %d: %d, %v; want %d, %v", n, off, size, gotN, gotErr, wantN, wantErr)
			}
		}
	}
}

func TestReaderFetchesOneFrameForManySmallReads(t *testing.T) {
	k := newKeys(t, "a", 1)
	r, at := openReader(t, k, mustSeal(t, k, seal.Segment, "index/x", randomBytes("r", 10*frame)))
	before := at.bytes.Load()
	for i := range int64(100) {
		if _, err := r.ReadAt(make([]byte, 64), 3*frame+64*i); err != nil {
			t.Fatal(err)
		}
	}
	if got := at.bytes.Load() - before; got != frame+16 {
		t.Errorf("%d bytes fetched, want one frame", got)
	}
}

func TestReaderFetchesALargeReadInFewPieces(t *testing.T) {
	k := newKeys(t, "a", 1)
	r, at := openReader(t, k, mustSeal(t, k, seal.Segment, "index/x", randomBytes("r", 64*frame)))
	before := at.reads.Load()
	if _, err := r.ReadAt(make([]byte, 64*frame), 0); err != nil {
		t.Fatal(err)
	}
	if got := at.reads.Load() - before; got != 4 {
		t.Errorf("4 MiB were fetched in %d reads, want 4", got)
	}
}

func TestReaderServesSeveralGoroutines(t *testing.T) {
	k := newKeys(t, "a", 1)
	plaintext := randomBytes("r", 5*frame)
	r, _ := openReader(t, k, mustSeal(t, k, seal.Segment, "index/x", plaintext))
	var group sync.WaitGroup
	for g := range uint64(4) {
		group.Go(func() {
			pcg := rand.New(rand.NewPCG(g, 0))
			for range 200 {
				off := pcg.IntN(len(plaintext) - 100)
				got := make([]byte, 100)
				if _, err := r.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, plaintext[off:off+100]) {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	group.Wait()
}

func TestReaderRefusesTheDamagedFrameAndServesTheOthers(t *testing.T) {
	k := newKeys(t, "a", 1)
	plaintext := randomBytes("r", 3*frame)
	object := mustSeal(t, k, seal.Segment, "index/x", plaintext)
	r, _ := openReader(t, k, flipped(object, 48+frame+16+5, 0))
	_, err := r.ReadAt(make([]byte, 1), frame)
	wantError(t, "damaged frame", err, seal.ErrDamaged, "index/x")
	n, err := r.ReadAt(make([]byte, 2*frame), 0)
	if wantError(t, "read into it", err, seal.ErrDamaged, "index/x"); n != 0 && n != frame {
		t.Errorf("%d bytes with the error", n)
	}
	got := make([]byte, frame)
	if _, err := r.ReadAt(got, 2*frame); err != nil || !bytes.Equal(got, plaintext[2*frame:]) {
		t.Errorf("frame behind it: %v", err)
	}
	_, err = r.ReadAt(got, -1)
	if err == nil {
		t.Error("read before the beginning")
	}
}

func TestReaderOfAnObjectThatIsShorterThanItWas(t *testing.T) {
	k := newKeys(t, "a", 1)
	object := mustSeal(t, k, seal.Segment, "index/x", randomBytes("r", 2*frame))
	for _, size := range []int{-1, 0, 47, 48, 63, 64 + frame, len(object) - 1, len(object) + 1} {
		r, err := k.OpenReader(seal.Segment, "index/x", int64(size), bytes.NewReader(object))
		if err == nil {
			_, err = r.ReadAt(make([]byte, r.Size()), 0)
		}
		wantError(t, fmt.Sprintf("opened as %d bytes", size), err, seal.ErrDamaged, "index/x")
	}
	for _, stored := range []int{0, 47, 100, len(object) - 1} {
		r, err := k.OpenReader(seal.Segment, "index/x", int64(len(object)), bytes.NewReader(object[:stored]))
		if err == nil {
			_, err = r.ReadAt(make([]byte, r.Size()), 0)
		}
		wantError(t, fmt.Sprintf("only %d bytes there", stored), err, seal.ErrDamaged, "index/x")
	}
}

func TestReaderProvesAnEmptyObjectToo(t *testing.T) {
	k := newKeys(t, "a", 1)
	object := mustSeal(t, k, seal.Segment, "index/x", nil)
	_, err := k.OpenReader(seal.Segment, "index/x", int64(len(object)), bytes.NewReader(flipped(object, len(object)-1, 0)))
	wantError(t, "a wrong tag", err, seal.ErrDamaged, "index/x")
}

// failing is storage that is not there for a while.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestReaderDoesNotTakeAStorageErrorForDamage(t *testing.T) {
	offline := errors.New("connection reset")
	k := newKeys(t, "a", 1)
	_, err := k.OpenReader(seal.Segment, "index/x", 1000, failing{offline})
	if wantError(t, "offline", err, offline, "index/x"); errors.Is(err, seal.ErrDamaged) {
		t.Errorf("%v is called damage", err)
	}
}
