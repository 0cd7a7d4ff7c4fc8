package gc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/soak"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/internal/tree"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// versions of the two files that every snapshot of a play has. Few, so that
// contents return; alike, so that they are stored as differences.
var versions = func() (all [4]repotest.Files) {
	for v := range all {
		dump := repotest.Dump(1, 320)
		copy(dump[4000:], fmt.Sprintf("version %d", v))
		all[v] = repotest.Files{"dump.sql": dump, "image": repotest.Random(uint64(v/2), 18_000)}
	}
	return all
}()

// play is a repository on which several work at once, in an order that a seed
// decides.
type play struct {
	t        *testing.T
	state    *storagetest.Memory
	turns    *storagetest.Turns
	seed     uint64
	fault    *fault // nil: nobody breaks a rule
	failures []string
	losses   []string // of those that lasted

	mu      sync.Mutex
	random  io.Reader
	tried   map[repo.Name]int  // the version of each snapshot that may have been committed
	kept    map[repo.Name]bool // those that have been, or were there
	deleted map[repo.Name]bool // those for which that was asked, and not taken back
}

// Read draws from the seed.
func (p *play) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.Read(b)
}

func (p *play) open(ctx context.Context, s storage.Storage) (*repo.Repository, error) {
	return repo.Open(ctx, s, repotest.Secret, repo.Options{Random: p})
}

// before makes what is there when a play begins: three snapshots, the last of
// which is deleted, and a session of somebody who was killed.
func before(t *testing.T) *play {
	p := &play{t: t, state: repotest.New(t), tried: map[repo.Name]int{}, kept: map[repo.Name]bool{}, deleted: map[repo.Name]bool{}}
	p.random = rand.NewChaCha8([32]byte{})
	for version := range 3 {
		if err := p.create(t.Context(), p.state, version, false); err != nil {
			t.Fatal(err)
		}
	}
	r := repotest.Open(t, p.state)
	all, err := r.Snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range all {
		if p.tried[last.Name] != 2 {
			continue // of these others depend on what they have
		}
		if _, err := r.Mark(t.Context(), last.Name, repo.Delete, repotest.Start); err != nil {
			t.Fatal(err)
		}
		p.deleted[last.Name] = true
	}
	if _, err := r.Begin(t.Context(), repo.Create, func() time.Time { return repotest.Start }); err != nil {
		t.Fatal(err)
	}
	return p
}

// again begins a play with a seed from what p has prepared.
func (p *play) again(t *testing.T, seed uint64) *play {
	next := &play{t: t, state: p.state.Clone(), seed: seed, tried: map[repo.Name]int{}, kept: map[repo.Name]bool{}, deleted: map[repo.Name]bool{}}
	for n, version := range p.tried {
		next.tried[n], next.kept[n] = version, true
	}
	for n := range p.deleted {
		next.deleted[n] = true
	}
	var key [32]byte
	copy(key[:], strconv.FormatUint(seed, 10))
	next.random = rand.NewChaCha8(key)
	return next
}

func (p *play) failf(format string, arguments ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = append(p.failures, fmt.Sprintf(format, arguments...))
}

// create takes a snapshot of a version; what its parent has of it, it may take
// over unread.
func (p *play) create(ctx context.Context, s storage.Storage, version int, keep bool) error {
	r, err := p.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	session, err := r.Begin(ctx, repo.Create, time.Now)
	if p.unseen(err) {
		return nil // it saw the snapshots and no segment
	}
	if err != nil {
		return err
	}
	err = p.write(ctx, r, session, version, keep)
	return errors.Join(p.unlessExcused(session, err), session.End(ctx))
}

func (p *play) write(ctx context.Context, r *repo.Repository, session *repo.Session, version int, keep bool) error {
	all, err := r.Snapshots(ctx)
	if err != nil {
		return err
	}
	snapshot := &repo.Snapshot{Project: "p", Environment: "e", Created: repotest.Start, Counter: 1, Consistency: repo.Live,
		Services: []repo.Service{{Name: "files", Engine: "test", Entries: []string{"dump.sql", "image"}}}}
	bases, base := map[string]tree.Entry{}, tree.Stream{}
	for _, parent := range all {
		snapshot.Counter = max(snapshot.Counter, parent.Counter+1)
		if !parent.Deleted.IsZero() {
			continue
		}
		base, snapshot.Parent = parent.Root.Content, parent.Name
		for e, err := range r.Children(ctx, parent.Root) {
			if err != nil {
				return err
			}
			bases[e.Name] = e
		}
	}
	keep = keep && !snapshot.Parent.IsZero() && !session.LostPacks()
	err = session.Write(ctx, func(ctx context.Context, w *repo.Writer) (err error) {
		snapshot.Root, err = w.PutDirectory(ctx, tree.Entry{Name: "root", Type: tree.Directory}, base,
			p.entries(ctx, w, bases, version, keep, p.versionOf(snapshot.Parent)))
		return err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.tried[session.Name] = version
	p.mu.Unlock()
	if err := session.Commit(ctx, snapshot); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[session.Name] = true
	return nil
}

func (p *play) entries(ctx context.Context, w *repo.Writer, bases map[string]tree.Entry, version int, keep bool, parent int) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, name := range []string{"dump.sql", "image"} {
			data := versions[version][name]
			if keep && string(versions[parent][name]) == string(data) {
				if !yield(bases[name], nil) {
					return
				}
				continue
			}
			e, err := w.Put(ctx, repo.Fine, tree.Entry{Name: name, Type: tree.File}, bases[name].Content, bytes.NewReader(data))
			if !yield(e, err) {
				return
			}
		}
	}
}

func (p *play) versionOf(n repo.Name) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried[n]
}

// unlessExcused is what a session failed with, unless somebody took it for dead, or
// what it needed was not seen.
func (p *play) unlessExcused(session *repo.Session, err error) error {
	if errors.Is(err, repo.ErrSessionEnded) || err != nil && p.ended(session) || p.unseen(err) {
		return nil
	}
	return err
}

// unseen reports whether something was missed that listings may just not have shown:
// what is really lost is still missing afterwards.
func (p *play) unseen(err error) bool {
	_, missing := errors.AsType[*repo.MissingError](err)
	return missing && p.turns != nil && p.turns.Settle > 0
}

// ended reports whether somebody else has ended a session.
func (p *play) ended(session *repo.Session) bool {
	_, err := p.state.Stat(context.Background(), "sessions/"+session.Name.String())
	return errors.Is(err, fs.ErrNotExist)
}

// restore reads all of some snapshot, which must not go while the session lasts.
func (p *play) restore(ctx context.Context, s storage.Storage, which int) error {
	r, err := p.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	session, err := r.Begin(ctx, repo.Restore, time.Now)
	if err != nil {
		return err
	}
	all, err := r.Snapshots(ctx)
	if err == nil && len(all) > 0 {
		chosen := all[which%len(all)]
		err = repotest.Holds(ctx, r, chosen.Snapshot, versions[p.versionOf(chosen.Name)])
	}
	return errors.Join(p.unlessExcused(session, err), session.End(ctx))
}

// remove deletes a snapshot and may take that back, unless it is too late.
func (p *play) remove(ctx context.Context, s storage.Storage, which int, back bool) error {
	r, err := p.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	all, err := r.Snapshots(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	n := all[which%len(all)].Name
	p.mu.Lock()
	p.deleted[n] = true
	p.mu.Unlock()
	if _, err := r.Mark(ctx, n, repo.Delete, time.Now()); err != nil && !errors.Is(err, repo.ErrPurged) {
		return err
	}
	if !back {
		return nil
	}
	switch undone, err := r.Mark(ctx, n, repo.Undelete, time.Now()); {
	case undone:
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.deleted, n)
	case err != nil && !errors.Is(err, repo.ErrPurged):
		return err
	}
	return nil
}

// collect runs a collection that may take anybody for dead.
func (p *play) collect(ctx context.Context, s storage.Storage, random *rand.Rand, grace time.Duration) error {
	r, err := p.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	suspicion, settle := max(0, random.IntN(6)-2), p.turns.Settle
	if p.fault != nil && p.fault.hurries {
		settle = 0
	}
	_, err = gc.Run(ctx, r, gc.Options{Now: time.Now, Grace: grace, Settle: settle, Wait: time.Duration(random.IntN(5)) * time.Second,
		Silent: func(context.Context, repo.Announced) (bool, error) { return random.IntN(4) < suspicion, nil }})
	if errors.Is(err, gc.ErrBusy) || errors.Is(err, repo.ErrSessionEnded) || p.unseen(err) {
		err = nil
	}
	return err
}

func (p *play) rebuild(ctx context.Context, s storage.Storage) error {
	r, err := p.open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = r.RebuildIndex(ctx, time.Now, func(int, int) {})
	return err
}

// TestAnyOrder: writers, collectors, somebody who deletes and undeletes, a reader
// and rebuild-index work on one repository, each operation on the storage in an
// order that a seed decides; some sleep, some die, some are taken for dead; in
// every other play listings are stale. HOLDFAST_SEED=N plays one seed again.
func TestAnyOrder(t *testing.T) {
	inMemory(t)
	first := uint64(time.Now().UnixNano())
	if seed := os.Getenv("HOLDFAST_SEED"); seed != "" {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		before(t).mustPlay(t, n)
		return
	}
	const few = 1500
	prepared, workers := before(t), runtime.GOMAXPROCS(0)
	for worker := range workers {
		t.Run(strconv.Itoa(worker), func(t *testing.T) {
			t.Parallel()
			played := 0
			for n := range soak.Cases(t, few/workers) {
				prepared.mustPlay(t, first+uint64(n*workers+worker))
				played++
			}
			t.Attr("cases", strconv.Itoa(played))
		})
	}
}

// mustPlay plays a seed, and says how that went if something went wrong.
func (p *play) mustPlay(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		next := p.again(t, seed)
		next.perform(time.Duration(seed%2) * time.Minute)
		next.mustHold("afterwards")
		next.mustEnd()
		for _, failure := range next.failures {
			t.Error(failure)
		}
		if t.Failed() {
			t.Logf("HOLDFAST_SEED=%d plays this again:\n%s", seed, next.turns.Trace())
		}
	})
}
