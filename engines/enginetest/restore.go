package enginetest

import (
	"fmt"

	"holdfast/engines"
)

func itself(r *rig) {
	p := r.place(Known)
	before := r.dump(p)
	s := r.take(p, snapshot{})
	if s.empty {
		r.Error("the capture says that there is nothing")
	}
	r.same(p, before, "after the capture")
	r.write(p, 3)
	if r.dump(p) == before {
		r.Fatal("Place.Write changes nothing that Place.Dump shows")
	}

	target, _ := r.target(p)
	plan, err := target.Plan(r.ctx, s.entries)
	r.must(err)
	if plan.Creates || plan.Replaces == "" {
		r.Errorf("the plan does not say what it replaces: %+v", plan)
	}
	if checker, more := target.(engines.Checker); more {
		r.must(checker.Check(r.ctx, s.entries, s, &plan))
	}
	current := r.dump(p)
	_, err = target.Stage(r.ctx, s.entries, s)
	r.must(err)
	r.same(p, current, "after the stage")
	r.must(target.Swap(r.ctx))
	r.same(p, before, "after the swap")
	r.finish(target)
	r.same(p, before, "after the discard")
	r.must(p.Check(r.ctx))
	r.write(p, 3)
	r.must(p.Check(r.ctx))
}

func other(r *rig, kind Kind) {
	p, q := r.place(kind), r.place(Known)
	r.write(q, 3)
	before := r.dump(p)
	r.restore(q, r.take(p, snapshot{}))
	r.same(q, before, "in the other place")
	r.same(p, before, "in the place it came from")
}

func emptyData(r *rig) {
	other(r, Empty)
	if s := r.take(r.place(Empty), snapshot{}); !s.empty {
		r.Error("the capture does not say that there is nothing")
	}
	p, q := r.place(Known), r.place(Empty)
	r.restore(q, r.take(p, snapshot{}))
	r.same(q, r.dump(p), "in a place that was empty")
}

func creates(r *rig) {
	p, q := r.place(Known), r.place(Missing)
	before := r.dump(p)
	s := r.take(p, snapshot{})

	target, _ := r.target(q)
	plan, err := target.Plan(r.ctx, s.entries)
	r.must(err)
	if !plan.Creates {
		r.Errorf("the plan does not say that it creates: %+v", plan)
	}
	_, err = target.Stage(r.ctx, s.entries, s)
	r.must(err)
	r.same(q, "", "after the stage")
	r.must(target.Swap(r.ctx))
	r.same(q, before, "after the swap")
	r.must(target.Revert(r.ctx))
	r.same(q, "", "after the revert")
	r.finish(target)
	r.same(q, "", "after the discard")

	r.restore(q, s)
	r.same(q, before, "after another restore")
}

func unheldSwap(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	site := r.traffic(p)
	for i := range 6 {
		target, _ := r.staged(p, s)
		site.more(r, 5)
		r.must(target.Swap(r.ctx))
		site.more(r, 5)
		if i%2 == 0 {
			r.must(target.Revert(r.ctx))
			site.more(r, 5)
		}
		r.finish(target)
	}
	r.must(site.stop())
	r.must(p.Check(r.ctx))
}

func revertSwap(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	old := r.dump(p)
	r.write(p, 3)
	target, _ := r.staged(p, s)
	r.write(p, 3) // after the stage: these count too
	before := r.dump(p)
	r.must(target.Swap(r.ctx))
	r.same(p, old, "after the swap")
	r.write(p, 3)
	for range 2 {
		r.must(target.Revert(r.ctx))
		r.same(p, before, "after the revert")
	}
	r.write(p, 3)
	before = r.dump(p)
	r.must(target.Revert(r.ctx))
	r.same(p, before, "after a revert of nothing")
	r.finish(target)
	r.same(p, before, "after the discard")
	r.must(p.Check(r.ctx))
}

func revertNone(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	r.write(p, 3)
	before := r.dump(p)

	target, _ := r.target(p)
	r.must(target.Revert(r.ctx))
	r.same(p, before, "after a revert of a token that nobody used")
	r.finish(target)

	target, _ = r.staged(p, s)
	r.must(target.Revert(r.ctx))
	r.same(p, before, "after a revert of what was only staged")
	r.finish(target)
	r.same(p, before, "after the discard")
}

func discardAny(r *rig) {
	p := r.place(Known)
	s := r.take(p, snapshot{})
	old := r.dump(p)
	r.write(p, 3)
	before := r.dump(p)
	for steps := range 4 {
		target, _ := r.target(p)
		if steps > 0 {
			_, err := target.Plan(r.ctx, s.entries)
			r.must(err)
		}
		if steps > 1 {
			_, err := target.Stage(r.ctx, s.entries, s)
			r.must(err)
		}
		want := before
		if steps > 2 {
			r.must(target.Swap(r.ctx))
			want = old
		}
		for range 2 {
			r.must(target.Discard(r.ctx))
			r.same(p, want, fmt.Sprintf("after a discard at step %d", steps))
		}
		r.must(target.Close())
		r.clean(p, fmt.Sprintf("by a discard at step %d", steps))
		r.must(target.Close())
	}
}

func retiredData(r *rig) {
	p, q := r.place(Known), r.place(Known)
	s := r.take(p, snapshot{})
	r.write(p, 3)
	target, _ := r.staged(p, s)
	r.write(p, 3)
	before := r.dump(p)
	r.must(target.Swap(r.ctx))
	r.write(p, 3)
	now := r.dump(p)

	source, err := target.Retired(r.ctx)
	r.must(err)
	memory := s.Next(s.entries)
	retired, err := r.drain(r.ctx, source, p.Service().Name, memory, memory, around{})
	r.must(err)
	r.same(p, now, "after the retired data were read")
	r.finish(target)
	r.same(p, now, "after the discard")

	if len(retired.entries) != len(s.entries) {
		r.Fatalf("retired has %d entries, a snapshot %d", len(retired.entries), len(s.entries))
	}
	for i, e := range s.entries {
		if retired.entries[i].Name != e.Name {
			r.Errorf("retired has an entry %q, a snapshot %q", retired.entries[i].Name, e.Name)
		}
	}
	r.restore(q, retired)
	r.same(q, before, "restored from retired")
}
