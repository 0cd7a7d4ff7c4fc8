package repo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"holdfast/internal/race"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// write runs f with a writer of a new session.
func write(t *testing.T, r *repo.Repository, f func(context.Context, *repo.Writer) error) error {
	t.Helper()
	session, err := r.Begin(t.Context(), repo.Create, now)
	if err != nil {
		t.Fatal(err)
	}
	defer session.End(context.WithoutCancel(t.Context()))
	return session.Write(t.Context(), f)
}

func readAll(t *testing.T, r *repo.Repository, e tree.Entry) []byte {
	t.Helper()
	content := r.Open(t.Context(), e)
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever pieces a source hands over, the stream is the same, to the last ref.
func TestStreamsDoNotDependOnHowTheyAreRead(t *testing.T) {
	r := newPlace(t).open()
	for _, n := range []int{0, 1, 16 << 10, 256 << 10, 256<<10 + 1, 3 << 20} {
		data := append(repotest.Random(1, n/2), make([]byte, n-n/2)...)
		var streams []tree.Entry
		for name, reader := range map[string]io.Reader{
			"whole":    bytes.NewReader(data),
			"halves":   iotest.HalfReader(bytes.NewReader(data)),
			"data+EOF": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			if err := write(t, r, func(ctx context.Context, w *repo.Writer) error {
				e, err := w.Put(ctx, repo.Coarse, tree.Entry{Name: "f", Type: tree.File}, tree.Stream{}, reader)
				streams = append(streams, e)
				return err
			}); err != nil {
				t.Fatalf("%d bytes, %s: %v", n, name, err)
			}
			if got := readAll(t, r, streams[len(streams)-1]); !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %s: other bytes come back", n, name)
			}
		}
		for _, s := range streams[1:] {
			if !s.Content.Equal(streams[0].Content) {
				t.Errorf("%d bytes: the streams differ", n)
			}
		}
	}
}

// A source that breaks off must never be taken for one that has ended.
func TestABrokenSourceIsNoShortStream(t *testing.T) {
	r := newPlace(t).open()
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("connection lost")} {
		for _, n := range []int{0, 100, 300 << 10, 2 << 20} {
			content := io.MultiReader(bytes.NewReader(repotest.Random(2, n)), iotest.ErrReader(broken))
			err := write(t, r, func(ctx context.Context, w *repo.Writer) error {
				_, err := w.Put(ctx, repo.Fine, tree.Entry{Name: "f", Type: tree.File}, tree.Stream{}, content)
				return err
			})
			if !errors.Is(err, broken) {
				t.Errorf("after %d bytes: %v, want %v", n, err, broken)
			}
		}
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestASourceThatGivesNothingIsGivenUp(t *testing.T) {
	err := write(t, newPlace(t).open(), func(ctx context.Context, w *repo.Writer) error {
		_, err := w.Put(ctx, repo.Fine, tree.Entry{Name: "f", Type: tree.File}, emptyStream, silent{})
		return err
	})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error is %v, want io.ErrNoProgress", err)
	}
}

// altered returns the bytes of one of a stream's chunks but for some at its
// beginning, so that they are another chunk, cut at the same place.
func altered(data []byte, s tree.Stream, place int) []byte {
	from := 0
	for _, ref := range s.Refs[:place] {
		from += int(ref.Size)
	}
	chunk := bytes.Clone(data[from:][:s.Refs[place].Size])
	for i := range 1000 {
		chunk[7*i] ^= 0x55
	}
	return chunk
}

// A source that breaks off leaves nothing half-done that another stream, which
// has a chunk in common with it, may rely on.
func TestWhatABrokenSourceHadInCommonWithOthersIsStored(t *testing.T) {
	r := newPlace(t).open()
	broken := errors.New("input/output error")
	for i := range 20 {
		data := repotest.Dump(uint64(1000+i), 20_000)
		file := tree.Entry{Name: "f", Type: tree.File}
		var chunk []byte
		err := write(t, r, func(ctx context.Context, w *repo.Writer) error {
			whole, err := w.Put(ctx, repo.Coarse, file, emptyStream, bytes.NewReader(data))
			if err != nil {
				return err
			}
			chunk = altered(data, whole.Content, len(whole.Content.Refs)/2)
			source := io.MultiReader(bytes.NewReader(chunk), bytes.NewReader(data[:300<<10]), iotest.ErrReader(broken))
			if _, err := w.Put(ctx, repo.Coarse, file, emptyStream, source); !errors.Is(err, broken) {
				t.Errorf("error is %v, want the source's", err)
			}
			file, err = w.Put(ctx, repo.Coarse, file, emptyStream, bytes.NewReader(chunk))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, r, file); !bytes.Equal(got, chunk) {
			t.Fatalf("%d bytes come back, want %d, or other ones", len(got), len(chunk))
		}
	}
}

// What a stream costs does not depend on its length: nothing is allocated per chunk.
// (Under the race detector pools forget at random, and this says nothing.)
func TestNothingIsAllocatedPerChunk(t *testing.T) {
	r := newPlace(t).open()
	data := repotest.Random(3, 16<<20)
	err := write(t, r, func(ctx context.Context, w *repo.Writer) error {
		put := func(n int) (refs int, allocations float64) {
			source := bytes.NewReader(nil)
			allocations = testing.AllocsPerRun(10, func() {
				source.Reset(data[:n])
				e, err := w.Put(ctx, repo.Coarse, tree.Entry{Name: "f", Type: tree.File}, tree.Stream{}, source)
				if err != nil {
					t.Error(err)
				}
				refs = len(e.Content.Refs)
			})
			return refs, allocations
		}
		if _, err := w.Put(ctx, repo.Coarse, tree.Entry{Name: "f", Type: tree.File}, tree.Stream{}, bytes.NewReader(data)); err != nil {
			return err
		}
		if err := w.Flush(ctx); err != nil {
			return err
		}
		_, few := put(1 << 20)
		_, many := put(11 << 20)
		// Some sixty chunks more, for which the list of refs grows a few times.
		if many > few+30 && !race.Enabled {
			t.Errorf("1 MiB takes %v allocations, 11 MiB %v", few, many)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
