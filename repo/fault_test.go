package repo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/pack"
	"holdfast/repo/repotest"
)

// inMemory is a repository in memory with two snapshots, the second with deltas.
type inMemory struct {
	store     *storagetest.Memory
	snapshots []*repo.Snapshot
	contents  []repotest.Files
}

func openMemory(t *testing.T, s storage.Storage, cache string) (*repo.Repository, error) {
	return repo.Open(t.Context(), s, secret, repo.Options{CacheDir: cache, Random: rand.Reader})
}

func mustOpen(t *testing.T, s storage.Storage) *repo.Repository {
	t.Helper()
	return mustOpenWith(t, s, "")
}

func mustOpenWith(t *testing.T, s storage.Storage, cache string) *repo.Repository {
	t.Helper()
	r, err := openMemory(t, s, cache)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func twoDays(t *testing.T) inMemory {
	t.Helper()
	m := inMemory{store: storagetest.NewMemory()}
	if _, err := repo.Init(t.Context(), m.store, secret, repo.Slot{Cost: cheap, Now: start}, "test", repo.Options{Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	first := repotest.Files{"dump.sql": repotest.Dump(1, 5000), "image": repotest.Random(1, 300_000)}
	second := repotest.Files{"dump.sql": bytes.Replace(first["dump.sql"], []byte("(2500,"), []byte("(9999999,"), 1), "new": repotest.Random(2, 1000)}
	m.contents = []repotest.Files{first, second}
	m.snapshots = append(m.snapshots, repotest.Put(t, mustOpen(t, m.store), first, nil))
	m.snapshots = append(m.snapshots, repotest.Put(t, mustOpen(t, m.store), second, m.snapshots[0]))
	return m
}

// TestEveryPrefixOfCreateIsWhole stops a create after each change it makes to
// the storage: what was published before is whole, what was not is not there,
// and the same create succeeds afterwards.
func TestEveryPrefixOfCreateIsWhole(t *testing.T) {
	m := twoDays(t)
	recorder := storagetest.NewRecorder(t, m.store.Clone())
	third := repotest.Files{"dump.sql": append(bytes.Clone(m.contents[1]["dump.sql"]), "more"...), "big": repotest.Random(5, 2<<20)}
	created := repotest.Put(t, mustOpen(t, recorder), third, m.snapshots[1])

	states, complete := 0, 0
	for _, state := range recorder.Prefixes() {
		states++
		r := mustOpen(t, state)
		all, err := r.Snapshots(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Name == created.Name {
				complete++
				repotest.MustHold(t, r, s.Snapshot, third)
			}
		}
		for i, s := range m.snapshots {
			repotest.MustHold(t, r, s, m.contents[i])
		}
		repotest.MustBeWhole(t, r)
		again := repotest.Put(t, mustOpen(t, state), third, m.snapshots[1])
		r = mustOpen(t, state)
		repotest.MustHold(t, r, again, third)
		repotest.MustBeWhole(t, r)
	}
	if states < 5 || complete == 0 || complete == states {
		t.Errorf("%d states, %d of them with the snapshot: the recording missed something", states, complete)
	}
	t.Attr("cases", strconv.Itoa(states))
}

// tryPut takes a snapshot without a parent, and without a test to fail.
func tryPut(ctx context.Context, r *repo.Repository, f repotest.Files) error {
	_, err := repotest.TryPut(ctx, r, f, nil)
	return err
}

// failures are ways in which a call can fail, and what the error must wrap.
var failures = []struct {
	name  string
	fault storagetest.Fault
	cause error
}{
	{"error", storagetest.Fault{Ops: storagetest.Any, Effect: storagetest.Fail(errCable)}, errCable},
	{"answer lost", storagetest.Fault{Ops: storagetest.Changes, Effect: storagetest.FailAfter(errCable)}, errCable},
	{"full", storagetest.Fault{Ops: storagetest.Put, Effect: storagetest.Full()}, storage.ErrFull},
	{"input/output error", storagetest.Fault{Ops: storagetest.Any, Effect: storagetest.Fail(syscall.EIO)}, syscall.EIO},
	{"permission", storagetest.Fault{Ops: storagetest.Any, Effect: storagetest.Fail(fs.ErrPermission)}, fs.ErrPermission},
	{"timeout", storagetest.Fault{Ops: storagetest.Any, Effect: storagetest.Fail(context.DeadlineExceeded)}, context.DeadlineExceeded},
}

var errCable = errors.New("the cable was cut")

// TestEveryFailingCallOfCreate makes each storage call of a create fail in turn, in
// each way: the create says so, nothing is published, and what was there stays whole.
func TestEveryFailingCallOfCreate(t *testing.T) {
	m := twoDays(t)
	third := repotest.Files{"big": repotest.Random(5, 1<<20), "text": repotest.Dump(8, 1000)}
	cases := 0
	for _, failure := range failures {
		for n := 1; ; n++ {
			state := m.store.Clone()
			faulty := storagetest.NewFaulty(state)
			r := mustOpen(t, faulty)
			fault := failure.fault
			fault.Nth = n
			rule := faulty.Inject(fault)
			err := tryPut(t.Context(), r, third)
			if rule.Hits() == 0 {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				if n < 5 {
					t.Fatalf("a create makes %d calls only", n-1)
				}
				break
			}
			cases++
			if err == nil {
				t.Fatalf("call %d failed (%s), and create did not say so", n, failure.name)
			}
			if !errors.Is(err, failure.cause) {
				t.Errorf("call %d (%s): %v does not wrap the cause", n, failure.name, err)
			}
			repotest.MustBeWhole(t, mustOpen(t, state))
		}
	}
	t.Attr("cases", strconv.Itoa(cases))
}

// TestAFailureWhilePacksAreFilled makes parts of packs, and their ends, fail while
// others are filled and written: the create ends and says so, and nothing is published.
func TestAFailureWhilePacksAreFilled(t *testing.T) {
	const size = 20 << 20 // three packs and their rest, in about twenty parts
	m := twoDays(t)
	third := repotest.Files{"big": repotest.Random(5, size)}
	ofPacks := func(name string) bool { return name == pack.Folder || strings.HasPrefix(name, pack.Folder+"/") }
	calls := map[storagetest.Op]int{}
	for _, op := range []storagetest.Op{storagetest.Write, storagetest.Put} {
		for _, fail := range []storagetest.Effect{storagetest.Fail(errCable), storagetest.FailAfter(errCable)} {
			for n := 1; ; n += 3 {
				state := m.store.Clone()
				faulty := storagetest.NewFaulty(state)
				rule := faulty.Inject(storagetest.Fault{Ops: op, Names: ofPacks, Nth: n, Effect: fail})
				err := tryPut(t.Context(), mustOpen(t, faulty), third)
				calls[op] = max(calls[op], rule.Calls())
				if rule.Hits() == 0 {
					if err != nil {
						t.Fatalf("without a fault: %v", err)
					}
					break
				}
				if !errors.Is(err, errCable) {
					t.Fatalf("%v %d failed, and create said %v", op, n, err)
				}
				r := mustOpen(t, state)
				if all, err := r.Snapshots(t.Context()); err != nil || len(all) != len(m.snapshots) {
					t.Errorf("%v %d failed: %d snapshots, %v", op, n, len(all), err)
				}
				repotest.MustBeWhole(t, r)
			}
		}
	}
	if calls[storagetest.Write] < 15 || calls[storagetest.Put] < 3 {
		t.Errorf("%d parts and %d packs only", calls[storagetest.Write], calls[storagetest.Put])
	}
}

// TestEveryFailingCallOfRestore makes each storage call of reading a snapshot fail
// in turn, or bring too little, or other bytes: what is read is right, or there is
// an error.
func TestEveryFailingCallOfRestore(t *testing.T) {
	m := twoDays(t)
	ways := slices.Clone(failures)
	for _, off := range []int64{0, 40, 1000, 20_000} {
		ways = append(ways, struct {
			name  string
			fault storagetest.Fault
			cause error
		}{fmt.Sprintf("byte %d is another", off), storagetest.Fault{Ops: storagetest.ReadAt, Effect: storagetest.Flip(off)}, nil})
	}
	ways = append(ways, struct {
		name  string
		fault storagetest.Fault
		cause error
	}{"short", storagetest.Fault{Ops: storagetest.ReadAt, Effect: storagetest.Short(7)}, nil})
	cases := 0
	for _, way := range ways {
		for n := 1; ; n++ {
			faulty := storagetest.NewFaulty(m.store.Clone())
			fault := way.fault
			fault.Nth = n
			rule := faulty.Inject(fault)
			right, err := m.read(t, faulty)
			if rule.Hits() == 0 {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				break
			}
			cases++
			if !right && err == nil {
				t.Errorf("call %d (%s): read wrong, without an error", n, way.name)
			}
			if err != nil && way.cause != nil && !errors.Is(err, way.cause) {
				t.Errorf("call %d (%s): %v does not wrap the cause", n, way.name, err)
			}
		}
	}
	if cases < 50 {
		t.Errorf("%d calls failed only", cases)
	}
	t.Attr("cases", strconv.Itoa(cases))
}

// read opens the repository and reads all of its second snapshot.
func (m *inMemory) read(t *testing.T, s storage.Storage) (right bool, err error) {
	r, err := openMemory(t, s, "")
	if err != nil {
		return false, err
	}
	snapshot, err := r.Snapshot(t.Context(), m.snapshots[1].Name)
	if err != nil {
		return false, err
	}
	count := 0
	for e, err := range r.Children(t.Context(), snapshot.Root) {
		if err != nil {
			return false, err
		}
		var got bytes.Buffer
		content := r.Open(t.Context(), e)
		_, err := got.ReadFrom(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return false, err
		}
		if !bytes.Equal(got.Bytes(), m.contents[1][e.Name]) {
			return false, nil
		}
		count++
	}
	return count == len(m.contents[1]), nil
}
