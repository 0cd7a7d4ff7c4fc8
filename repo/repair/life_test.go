package repair_test

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/soak"
	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/gc"
	"holdfast/repo/repair"
	"holdfast/repo/repotest"
)

// TestALifeOfAccidents: everything that changes a repository, one after the other in an
// order drawn from a seed, most of it hurt by an accident. After each step every
// snapshot is there, check finds nothing, and the index names no pack that is gone.
func TestALifeOfAccidents(t *testing.T) {
	first, steps := uint64(time.Now().UnixNano()), 0
	for n := range soak.Cases(t, 8) {
		seed := first + uint64(n)
		l := life{T: t, random: mathrand.New(mathrand.NewPCG(seed, 3)), store: repotest.New(t), now: repotest.Start, files: map[repo.Name]repotest.Files{}}
		for range 40 {
			l.step()
			if l.mustBeWhole(); t.Failed() {
				t.Fatalf("seed %d: after %s", seed, strings.Join(l.done, ", "))
			}
			steps++
		}
	}
	t.Attr("cases", fmt.Sprint(steps))
}

type life struct {
	*testing.T
	random *mathrand.Rand
	store  *storagetest.Memory
	now    time.Time
	alive  []*repo.Snapshot
	gone   []*repo.Snapshot // was asked to be deleted
	files  map[repo.Name]repotest.Files
	done   []string
}

func (l *life) step() {
	l.now = l.now.Add(time.Hour)
	switch draw := l.random.IntN(20); {
	case draw < 8:
		l.create()
	case draw < 11:
		l.try("delete", l.delete)
		if l.random.IntN(3) == 0 {
			l.undelete()
		}
	case draw < 16:
		l.try("collect", l.collect)
	case draw < 17:
		l.try("rebuild", func(r *repo.Repository) error {
			_, err := r.RebuildIndex(l.Context(), l.clock, func(int, int) {})
			return err
		})
	case draw < 18:
		l.try("repair", l.repair)
		if l.random.IntN(2) == 0 {
			l.spoil()
		}
	case draw < 19:
		l.try("rotate keys", func(r *repo.Repository) error {
			_, err := r.RotateKeys(l.Context(), repotest.Secret, cheap, l.now)
			return err
		})
	default:
		percent := l.random.IntN(2) * 20
		l.try(fmt.Sprintf("parity %d", percent), func(r *repo.Repository) error {
			if err := r.SetParity(l.Context(), percent, l.now); err != nil {
				return err
			}
			_, err := r.UpdateParity(l.Context(), nil)
			return err
		})
	}
}

func (l *life) clock() time.Time { return l.now }

// try does something that, more often than not, is hurt by an accident: the power goes,
// there is no more room, or one call fails.
func (l *life) try(what string, do func(*repo.Repository) error) {
	l.Helper()
	after := l.random.IntN(l.random.IntN(60) + 1)
	switch l.random.IntN(8) {
	case 0, 1, 2, 3:
		crash := storagetest.NewCrash(l.store, after, l.random.Uint64())
		err := do(repotest.Open(l.T, crash))
		l.store = crash.Survivor()
		l.note(what, fmt.Sprintf("until change %d", after), err, crash.Crashed())
	case 4:
		faulty := storagetest.NewFaulty(l.store)
		var puts atomic.Int64
		full := faulty.Inject(storagetest.Fault{Ops: storagetest.Put, Effect: func(_ context.Context, _ *storagetest.Call, do func() error) error {
			if puts.Add(1) > int64(after) {
				return storage.ErrFull
			}
			return do()
		}})
		err := do(repotest.Open(l.T, faulty))
		l.note(what, fmt.Sprintf("with room for %d objects", after), err, full.Hits() > after)
	case 5:
		faulty, effect := storagetest.NewFaulty(l.store), storagetest.Fail
		if l.random.IntN(2) == 0 {
			effect = storagetest.FailAfter
		}
		r := repotest.Open(l.T, faulty)
		fault := faulty.Inject(storagetest.Fault{Nth: 1 + 4*after, Effect: effect(errors.New("the cable was cut"))})
		err := do(r)
		l.note(what, fmt.Sprintf("with call %d failing", 1+4*after), err, fault.Hits() > 0)
	default:
		l.note(what, "", do(repotest.Open(l.T, l.store)), false)
	}
}

// note tells what was done, and fails the test if that failed without an accident.
func (l *life) note(what, accident string, err error, hurt bool) {
	l.Helper()
	if hurt {
		what += " " + accident
	} else if err != nil {
		l.Errorf("%s: %v", what, err)
	}
	l.done = append(l.done, what)
}

func (l *life) create() {
	files := repotest.Files{"kept": repotest.Random(7, 20_000), "new": repotest.Random(l.random.Uint64(), 1+l.random.IntN(30_000)), "dump": repotest.Dump(1, 300+l.random.IntN(50))}
	var parent *repo.Snapshot
	if len(l.alive) > 0 {
		parent = l.alive[l.random.IntN(len(l.alive))]
	}
	var s *repo.Snapshot
	l.try("create", func(r *repo.Repository) (err error) {
		s, err = repotest.TryPut(l.Context(), r, files, parent)
		return err
	})
	if s == nil || s.Name == (repo.Name{}) {
		return
	}
	if l.isListed(s) { // also one whose success was not told
		l.alive = append(l.alive, s)
		l.files[s.Name] = files
	}
}

func (l *life) delete(r *repo.Repository) error {
	if len(l.alive) == 0 {
		return nil
	}
	i := l.random.IntN(len(l.alive))
	s := l.alive[i]
	l.alive = slices.Delete(l.alive, i, i+1) // whether it is told to have been deleted or not
	l.gone = append(l.gone, s)
	_, err := r.Mark(l.Context(), s.Name, repo.Delete, l.now)
	return err
}

// undelete takes a deletion back, unless it is too late.
func (l *life) undelete() {
	l.Helper()
	if len(l.gone) == 0 {
		return
	}
	i := l.random.IntN(len(l.gone))
	s := l.gone[i]
	l.try("undelete", func(r *repo.Repository) error {
		_, err := r.Mark(l.Context(), s.Name, repo.Undelete, l.now)
		if errors.Is(err, repo.ErrPurged) {
			err = nil
		}
		return err
	})
	if l.isListed(s) {
		l.gone = slices.Delete(l.gone, i, i+1)
		l.alive = append(l.alive, s)
	}
}

// isListed reports whether a snapshot is there, and not in the trash.
func (l *life) isListed(s *repo.Snapshot) bool {
	l.Helper()
	listed, err := repotest.Open(l.T, l.store).Snapshots(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	return slices.ContainsFunc(listed, func(other repo.Listed) bool { return other.Name == s.Name && other.Deleted.IsZero() })
}

func (l *life) collect(r *repo.Repository) error {
	_, err := gc.Run(l.Context(), r, gc.Options{Now: l.clock, Grace: time.Duration(l.random.IntN(2)) * 90 * time.Minute,
		Silent: func(context.Context, repo.Announced) (bool, error) { return true, nil }}) // nobody is alive
	return err
}

func (l *life) repair(r *repo.Repository) error {
	_, err := repair.Run(l.Context(), r, repair.Options{Now: l.clock, Divisible: func(string) bool { return false }})
	return err
}

// spoil damages some packs, but no blob in them, or some segments of the index, which
// tell where in such a pack these are, and repairs that.
func (l *life) spoil() {
	l.Helper()
	folder := []string{"packs/", "index/"}[l.random.IntN(2)]
	for _, object := range l.store.Names() {
		if strings.HasPrefix(object, folder) && l.random.IntN(3) == 0 {
			data, _ := l.store.Object(object)
			l.store.Replace(object, append(data, 0))
		}
	}
	l.note("spoil "+folder, "", l.repair(repotest.Open(l.T, l.store)), false)
}

func (l *life) mustBeWhole() {
	l.Helper()
	r := repotest.Open(l.T, l.store)
	for _, s := range l.alive {
		repotest.MustHold(l.T, r, s, l.files[s.Name])
	}
	repotest.MustBeWhole(l.T, r)
	list, err := r.Condemned(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	swept := list.Swept() // deleted where there was no room to write the index
	for _, name := range repotest.Gone(l.T, r) {
		if !swept[name] {
			l.Errorf("the index names pack %x, which is gone", name[:4])
		}
	}
}
