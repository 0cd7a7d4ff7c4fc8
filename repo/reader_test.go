package repo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"holdfast/internal/storage/storagetest"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/repotest"
)

// long is a repository with one stream of several MB, long enough to be read ahead.
func long(t *testing.T) (*storagetest.Memory, tree.Entry, []byte) {
	t.Helper()
	m := twoDays(t)
	data := append(repotest.Random(7, 3<<19), repotest.Dump(7, 30_000)...)
	r := mustOpen(t, m.store)
	s := repotest.Put(t, r, repotest.Files{"long": data}, nil)
	return m.store, child(t, r, s, "long"), data
}

func child(t *testing.T, r *repo.Repository, s *repo.Snapshot, name string) tree.Entry {
	t.Helper()
	for e, err := range r.Children(t.Context(), s.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("%s is not there", name)
	return tree.Entry{}
}

// However a stream is taken, and by however many at once, its bytes come in order.
func TestALongStreamComesInOrder(t *testing.T) {
	store, e, data := long(t)
	ways := map[string]func(io.Reader) ([]byte, error){
		"all at once":  io.ReadAll,
		"byte by byte": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		"blob by blob": func(r io.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := r.(io.WriterTo).WriteTo(&b)
			return b.Bytes(), err
		},
		"a little, then blob by blob": func(r io.Reader) ([]byte, error) {
			b := bytes.NewBuffer(make([]byte, 100_000))
			if _, err := io.ReadFull(r, b.Bytes()); err != nil {
				return nil, err
			}
			_, err := r.(io.WriterTo).WriteTo(b)
			return b.Bytes(), err
		},
	}
	r := mustOpen(t, store)
	var readers sync.WaitGroup
	for range 8 { // together they want more than is read ahead
		for name, way := range ways {
			readers.Go(func() {
				content := r.Open(t.Context(), e)
				got, err := way(content)
				if err := errors.Join(err, content.Close()); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s: %d bytes of %d, equal %v, %v", name, len(got), len(data), bytes.Equal(got, data), err)
				}
			})
		}
	}
	readers.Wait()
}

// Wherever reading fails, what came before is the stream's beginning, and nothing
// comes after.
func TestALongStreamFailsWhereItsBlobDoes(t *testing.T) {
	store, e, data := long(t)
	broken := errors.New("broken")
	for n := 1; ; n += 3 {
		faulty := storagetest.NewFaulty(store)
		r := mustOpen(t, faulty)
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		rule := faulty.Inject(storagetest.Fault{Ops: storagetest.ReadAt, Names: storagetest.Under("packs"), Nth: n, Effect: storagetest.Fail(broken)})
		content := r.Open(t.Context(), e)
		got, err := io.ReadAll(content)
		if rule.Hits() == 0 {
			if err != nil || n < 4 { // where the polynomial cuts is drawn
				t.Errorf("%d reads without a fault: %v", n, err)
			}
			_ = content.Close()
			return
		}
		if !errors.Is(err, broken) || len(got) == len(data) || !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("read %d failed: %d bytes, their beginning %v, %v", n, len(got), bytes.Equal(got, data[:len(got)]), err)
		}
		if more, err := content.Read(make([]byte, 1)); more != 0 || err == nil {
			t.Errorf("%d bytes more after a failure, %v", more, err)
		}
		_ = content.Close()
	}
}

// A damaged blob in the middle ends a stream there.
func TestALongStreamEndsAtDamage(t *testing.T) {
	store, e, data := long(t)
	faulty := storagetest.NewFaulty(store)
	r := mustOpen(t, faulty)
	faulty.Inject(storagetest.Fault{Ops: storagetest.ReadAt, Names: storagetest.Under("packs"), Effect: storagetest.Flip(1 << 20)})
	content := r.Open(t.Context(), e)
	defer content.Close()
	got, err := io.ReadAll(content)
	var damaged *repo.DamagedError
	if !errors.As(err, &damaged) || !strings.HasPrefix(damaged.Object, "packs/") || !bytes.HasPrefix(data, got) {
		t.Errorf("%d bytes, their beginning %v, %v", len(got), bytes.HasPrefix(data, got), err)
	}
}

// Who stops half way waits for nothing: not for what is on its way, nor when the
// storage hangs.
func TestALongStreamCanBeLeft(t *testing.T) {
	store, e, data := long(t)
	faulty := storagetest.NewFaulty(store)
	r := mustOpen(t, faulty)
	for range 20 { // what is read ahead is given back, or nothing would be left of it
		content := r.Open(t.Context(), e)
		if _, err := io.ReadFull(content, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := content.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := content.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	}
	if left := r.AheadLeft(); left != repo.AheadBytes {
		t.Errorf("%d of %d bytes are left to be read ahead", left, repo.AheadBytes)
	}

	faulty.Inject(storagetest.Fault{Ops: storagetest.ReadAt, Names: storagetest.Under("packs"), Effect: storagetest.Hang()})
	ctx, cancel := context.WithCancelCause(t.Context())
	content := r.Open(ctx, e)
	stopped := errors.New("stopped")
	go cancel(stopped)
	if n, err := io.Copy(io.Discard, content); n == int64(len(data)) || !errors.Is(err, stopped) {
		t.Errorf("%d bytes of a storage that hangs, %v", n, err)
	}
	if err := content.Close(); err != nil {
		t.Error(err)
	}
}

// PackReads tells what was read twice from what was needed once.
func TestPackReads(t *testing.T) {
	store, e, _ := long(t)
	r := mustOpen(t, store)
	read := func() repo.PackReads {
		content := r.Open(t.Context(), e)
		defer content.Close()
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Fatal(err)
		}
		return r.PackReads()
	}
	once := read()
	if once.Read != once.Needed || once.Read < 3<<19 || once.Amplification() != 1 {
		t.Errorf("once: %+v", once)
	}
	if twice := read(); twice.Needed != once.Needed || twice.Read <= once.Read {
		t.Errorf("twice: %+v after %+v", twice, once)
	}
	if (repo.PackReads{}).Amplification() != 1 {
		t.Error("nothing was read, but not once")
	}
}

// Neighbouring blobs of a stream are differences to the same bases, and several
// of them are read at once: each whole base is read once all the same. Only
// deltas in the middle of a chain, which are short, are read for each chain.
func TestBasesAreReadOnce(t *testing.T) {
	store := storagetest.NewMemory()
	if _, err := repo.Init(t.Context(), store, secret, repo.Slot{Cost: cheap, Now: start}, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	content := repotest.Dump(1, 50_000)
	s := repotest.Put(t, mustOpen(t, store), repotest.Files{"dump.sql": content}, nil)
	for day := range 3 {
		content = bytes.ReplaceAll(content, []byte{'0' + byte(day), '7', '7'}, []byte("changed"))
		s = repotest.Put(t, mustOpen(t, store), repotest.Files{"dump.sql": content}, s)
	}
	r := mustOpen(t, store)
	repotest.MustHold(t, r, s, repotest.Files{"dump.sql": content})
	if reads := r.PackReads(); reads.Read > reads.Needed+reads.Needed/50 {
		t.Errorf("%d bytes were read, %d are needed", reads.Read, reads.Needed)
	}
}
