package gc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"holdfast/internal/storage"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo"
	"holdfast/repo/check"
	"holdfast/repo/gc"
	"holdfast/repo/repotest"
)

// perform lets some work: at least one collector, and at most three others.
func (p *play) perform(settle time.Duration) {
	cast := rand.New(rand.NewPCG(p.seed, 1))
	time.Sleep(time.Until(repotest.Start.Add(time.Hour)))
	p.turns = storagetest.NewTurns(p.state, p.seed)
	p.turns.Settle, p.turns.Deaths = settle, max(0, cast.IntN(4)-1)
	for i := range 1 + cast.IntN(3)/2 {
		random := rand.New(rand.NewPCG(p.seed, 2+uint64(i)))
		grace := time.Duration(cast.IntN(2)) * time.Minute
		p.act(collector, i, func(ctx context.Context, s storage.Storage) error {
			err := p.collect(ctx, s, random, grace)
			if err == nil && grace > 0 {
				time.Sleep(grace)
				err = p.collect(ctx, s, random, grace)
			}
			return err
		})
	}
	which, back := cast.IntN(8), cast.IntN(4) > 0
	if cast.IntN(8) > 0 { // a writer nearly always: nobody else loses anything
		p.actWriter(cast, 0)
	}
	others := []func(){
		func() { p.actWriter(cast, 1) },
		func() {
			p.act(deleter, 0, func(ctx context.Context, s storage.Storage) error { return p.remove(ctx, s, which, back) })
		},
		func() {
			p.act(reader, 0, func(ctx context.Context, s storage.Storage) error { return p.restore(ctx, s, which/2) })
		},
		func() { p.act(rebuilder, 0, p.rebuild) },
	}
	for _, i := range cast.Perm(len(others))[:cast.IntN(3)] {
		others[i]()
	}
	p.turns.Run()
}

// The roles in a play.
const (
	writer    = "writer"
	collector = "collector"
	deleter   = "deleter"
	reader    = "reader"
	rebuilder = "rebuilder"
)

func (p *play) act(role string, i int, f func(context.Context, storage.Storage) error) {
	name := fmt.Sprintf("%s %d", role, i)
	p.turns.Go(name, func(ctx context.Context, s storage.Storage) {
		if p.fault != nil && p.fault.breaks != nil {
			s = p.fault.breaks(p, role, s)
		}
		if err := f(ctx, s); err != nil && !errors.Is(err, storagetest.ErrCrashed) {
			p.failf("%s: %v", name, err)
		}
	})
}

func (p *play) actWriter(cast *rand.Rand, i int) {
	version, second, keep := cast.IntN(4), cast.IntN(4), cast.IntN(2) == 0
	again := cast.IntN(4) == 0
	p.act(writer, i, func(ctx context.Context, s storage.Storage) error {
		err := p.create(ctx, s, version, keep)
		if err == nil && again {
			err = p.create(ctx, s, second, !keep)
		}
		return err
	})
}

func (p *play) losef(format string, arguments ...any) {
	p.failf(format, arguments...)
	p.losses = append(p.losses, fmt.Sprintf(format, arguments...))
}

// mustHold: every snapshot that is listed holds what was put into it, and every
// one that was committed, and not deleted, is listed.
func (p *play) mustHold(when string) {
	r := repotest.Open(p.t, p.state)
	all, err := r.Snapshots(p.t.Context())
	if err != nil {
		p.losef("%s: %v", when, err)
	}
	listed := map[repo.Name]bool{}
	for _, s := range all {
		listed[s.Name] = true
		if err := repotest.Holds(p.t.Context(), r, s.Snapshot, versions[p.tried[s.Name]]); err != nil {
			p.losef("%s: %v", when, err)
		}
	}
	for n := range p.kept {
		if !listed[n] && !p.deleted[n] {
			p.losef("%s: snapshot %s is gone, and nobody deleted it", when, n)
		}
	}
}

// mustEnd: when all are gone, another collection leaves nothing but what is needed.
func (p *play) mustEnd() {
	r := repotest.Open(p.t, p.state)
	silent := func(context.Context, repo.Announced) (bool, error) { return true, nil }
	if _, err := gc.Run(p.t.Context(), r, gc.Options{Now: time.Now, Silent: silent}); err != nil {
		p.losef("another collection: %v", err)
	}
	p.mustHold("after another collection")
	if under(p.state, "sessions") > 0 || under(p.state, "condemned") > 1 {
		p.losef("left behind: %q", p.state.Names())
	}
	report, err := check.Run(p.t.Context(), r, check.Options{ReadData: true})
	if err != nil {
		p.losef("check: %v", err)
		return
	}
	for _, problem := range report.Problems {
		p.losef("check: %v", problem)
	}
}

// inMemory lets collections keep their file, which nobody needs to be durable, in
// memory, where there is a place for that.
func inMemory(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}
