package enginetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"holdfast/engines"
)

// A crash is emulated by a context that is cancelled somewhere within the call,
// and by Close, which ends what the end of a process would end: connections and
// locks. An engine's own tests kill real processes.

// crashes yields contexts that end at ever later points of a call, until it was
// not cancelled any more; then by time, at fractions of what the call takes.
func (r *rig) crashes() iter.Seq2[string, context.Context] {
	return func(yield func(string, context.Context) bool) {
		var took time.Duration
		for n := range steps() {
			ctx := newFuse(r.ctx, n)
			begin := time.Now()
			if !yield(fmt.Sprintf("cancelled at step %d", n), ctx) {
				return
			}
			if !ctx.blown() {
				took = time.Since(begin)
				r.Logf("cancelled at steps up to %d", n)
				break
			}
		}
		for i := range time.Duration(8) {
			ctx, cancel := context.WithTimeout(r.ctx, took*i/8)
			ok := yield(fmt.Sprintf("cancelled after %d/8 of its time", i), ctx)
			cancel()
			if !ok {
				return
			}
		}
	}
}

func crashStage(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	r.write(p, 3)
	before := r.dump(p)
	for when, ctx := range r.crashes() {
		target, token := r.target(p)
		_, _ = target.Stage(ctx, s.entries, s)
		r.must(target.Close())
		r.same(p, before, when)

		r.undo(p, token, before, when)
	}
}

// undo is what a recovery does of a restore that was not decided: the place must be as
// before.
func (r *rig) undo(p Place, token, before, when string) {
	target := r.again(p, token)
	r.must(target.Revert(r.ctx))
	r.finish(target)
	r.same(p, before, when+" and undone")
	r.clean(p, when)
}

func crashSwap(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	for when, ctx := range r.crashes() {
		target, token := r.staged(p, s)
		r.write(p, 1)
		before := r.dump(p)
		_ = target.Swap(ctx)
		r.must(target.Close())

		target = r.again(p, token)
		r.must(target.Revert(r.ctx))
		r.same(p, before, when+" and reverted")
		r.must(target.Revert(r.ctx))
		r.finish(target)
		r.same(p, before, when+" and discarded")
		r.clean(p, when)
		r.write(p, 1)
	}
	r.must(p.Check(r.ctx))
}

// crashRevert: of a whole swap and, every other time, of one that stopped half way.
func crashRevert(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	n := 0
	for when, ctx := range r.crashes() {
		target, token := r.staged(p, s)
		r.write(p, 1)
		before := r.dump(p)
		if n++; n%2 == 0 {
			when += fmt.Sprintf(", of a swap cancelled at step %d", n)
			_ = target.Swap(newFuse(r.ctx, n))
		} else {
			r.must(target.Swap(r.ctx))
		}
		r.must(target.Close())
		target = r.again(p, token)
		_ = target.Revert(ctx)
		r.must(target.Close())

		target = r.again(p, token)
		r.must(target.Revert(r.ctx))
		r.same(p, before, when+" and reverted again")
		r.finish(target)
		r.same(p, before, when+" and discarded")
		r.clean(p, when)
	}
}

func crashDiscard(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	old := r.dump(p)
	for when, ctx := range r.crashes() {
		target, token := r.staged(p, s)
		r.write(p, 1)
		r.must(target.Swap(r.ctx))
		r.must(target.Close())
		target = r.again(p, token)
		_ = target.Discard(ctx)
		r.must(target.Close())

		target = r.again(p, token)
		r.finish(target)
		r.same(p, old, when+" and discarded again")
		r.clean(p, when)
	}
}

// crashUndone: what was reverted is discarded, and whoever comes afterwards does not
// know how far that went.
func crashUndone(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	for when, ctx := range r.crashes() {
		target, token := r.staged(p, s)
		r.write(p, 1)
		before := r.dump(p)
		r.must(target.Swap(r.ctx))
		r.must(target.Revert(r.ctx))
		_ = target.Discard(ctx)
		r.must(target.Close())

		r.undo(p, token, before, when)
	}
}

func contentFails(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	r.write(p, 3)
	before := r.dump(p)
	for n := 1; ; n += 1 + n/100 {
		content := newFaulty(s, n)
		target, _ := r.target(p)
		_, err := stage(r, target, s, content)
		r.same(p, before, fmt.Sprintf("after content failed at call %d", n))
		r.finish(target)
		r.clean(p, fmt.Sprintf("after content failed at call %d", n))
		if !content.failed() {
			r.must(err)
			r.Logf("failed at calls up to %d", n)
			return
		}
		if !errors.Is(err, errInjected) {
			r.Fatalf("call %d: the content's error was not passed on: %v", n, err)
		}
	}
}

func stage(r *rig, target engines.Target, s snapshot, content engines.Content) (engines.Staged, error) {
	if _, err := target.Plan(r.ctx, s.entries); err != nil {
		return engines.Staged{}, err
	}
	return target.Stage(r.ctx, s.entries, content)
}
