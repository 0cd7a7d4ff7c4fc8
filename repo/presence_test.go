package repo_test

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"holdfast/internal/tree"
	"holdfast/repo"
)

// readOver reads e where present is there, and tells what that cost.
func readOver(t *testing.T, r *repo.Repository, e tree.Entry, present io.ReaderAt) ([]byte, repo.PackReads) {
	t.Helper()
	before := r.PackReads()
	content := r.OpenPresent(t.Context(), e, present)
	data, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil {
		t.Fatal(err)
	}
	after := r.PackReads()
	return data, repo.PackReads{Read: after.Read - before.Read, Present: after.Present - before.Present}
}

type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// What is there is not read from the repository, and whatever is there, what
// comes out is right.
func TestWhatIsPresentIsNotRead(t *testing.T) {
	store, e, data := long(t)
	r := mustOpen(t, store)
	whole := uint64(len(data))
	longest := uint64(repo.DefaultFine.Max) // wherever the drawn polynomial cuts
	spread := bytes.Clone(data)
	spread[0]++
	spread[len(spread)/2]++
	var reads atomic.Int64
	for _, c := range []struct {
		what        string
		present     io.ReaderAt
		least, most uint64 // of what is taken from there
	}{
		{"the same", bytes.NewReader(data), whole, whole},
		{"longer", bytes.NewReader(append(bytes.Clone(data), "more"...)), whole, whole},
		{"bytes changed here and there", bytes.NewReader(spread), whole - 2*longest, whole - 1},
		{"the first half", bytes.NewReader(data[:len(data)/2]), whole/2 - longest, whole / 2},
		{"moved by one byte", bytes.NewReader(data[1:]), 0, 0},
		{"nothing", bytes.NewReader(nil), 0, 0},
		{"unreadable", readerAt(func([]byte, int64) (int, error) { return 0, errors.New("bad sector") }), 0, 0},
		{"changing all the time", readerAt(func(p []byte, off int64) (int, error) {
			n, err := bytes.NewReader(data).ReadAt(p, off)
			if reads.Add(1)%2 == 0 {
				p[0]++
			}
			return n, err
		}), 1, whole - 1},
	} {
		got, cost := readOver(t, r, e, c.present)
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, not those of the stream", c.what, len(got))
		}
		if cost.Present < c.least || cost.Present > c.most {
			t.Errorf("%s: %d bytes of %d were taken from there, want %d to %d", c.what, cost.Present, whole, c.least, c.most)
		}
		if little := cost.Read < 64<<10; little != (cost.Present == whole) { // a list of refs
			t.Errorf("%s: %d bytes were read", c.what, cost.Read)
		}
	}
}
