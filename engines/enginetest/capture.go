package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/tree"
)

func heldWrites(r *rig) {
	p := r.place(Known)
	site := r.traffic(p)
	var marked string
	memory := NewMemory()
	s, err := r.capture(r.ctx, p, memory, memory, around{
		gate:     &site.gate,
		held:     func() { marked = r.dump(p) },
		released: func() { site.more(r, 10) }, // none of which may be sent
	})
	r.must(err)
	r.must(site.stop())
	r.restore(p, s)
	r.same(p, marked, "after the restore")
	r.must(p.Check(r.ctx))
}

func unheldWrites(r *rig) {
	p, q := r.place(Known), r.place(Known)
	site := r.traffic(p)
	for range 5 {
		memory := NewMemory()
		s, err := r.capture(r.ctx, p, memory, memory, around{released: func() { site.more(r, 5) }})
		r.must(err)
		r.restore(q, s)
		r.must(q.Check(r.ctx))
	}
	r.must(site.stop())
	r.must(p.Check(r.ctx))
}

func unchanged(r *rig) {
	p := r.place(Known)
	first := r.take(p, snapshot{})
	memory := first.Next(first.entries)
	sink := &bases{Sink: memory, parent: map[string]bool{}}
	before := r.files(first)
	for _, e := range before {
		sink.parent[refs(e.Content)] = true
	}
	second, err := r.capture(r.ctx, p, memory, sink, around{})
	r.must(err)
	after := r.files(second)
	for path, e := range before {
		if f, ok := after[path]; !ok {
			r.Errorf("%s is missing from the second snapshot", path)
		} else if !f.Content.Equal(e.Content) {
			r.Errorf("%s has another stream although nothing changed", path)
		}
	}
	if len(after) != len(before) {
		r.Errorf("%d files in the second snapshot, %d in the first", len(after), len(before))
	}
	if all, known := sink.all.Load(), sink.known.Load(); all != known {
		r.Errorf("%d of %d streams were put without the parent's as base", all-known, all)
	}
	r.Logf("unread: %d; read again: %d bytes", len(second.Kept), second.Read)
}

func fewChanges(r *rig) {
	p := r.place(Known)
	first := r.take(p, snapshot{})
	r.write(p, 3)
	marked := r.dump(p)
	second := r.take(p, first)

	known := map[string]bool{}
	for path := range r.files(first) {
		data := r.content(first, path)
		for ; len(data) >= window; data = data[window:] {
			known[string(data[:window])] = true
		}
	}
	var total, fresh int
	for path := range r.files(second) {
		data := r.content(second, path)
		total += len(data)
		for len(data) > 0 {
			if n := min(window, len(data)); n == window && known[string(data[:n])] {
				data = data[n:]
				continue
			}
			fresh++
			data = data[1:]
		}
	}
	if fresh*4 > total {
		r.Errorf("after 3 writes %d of %d bytes are new, more than a quarter", fresh, total)
	}
	r.Logf("after 3 writes %d of %d bytes are new, %d bytes were read", fresh, total, second.Read)
	r.restore(p, second)
	r.same(p, marked, "after restoring the second snapshot")
}

// window is the length of the pieces in which fewChanges finds old bytes again.
const window = 32

// files returns all files of a snapshot by their paths.
func (r *rig) files(s snapshot) map[string]tree.Entry {
	r.Helper()
	all := map[string]tree.Entry{}
	var walk func(path string, e tree.Entry)
	walk = func(path string, e tree.Entry) {
		switch e.Type {
		case tree.File:
			all[path] = e
		case tree.Directory:
			for child, err := range s.Children(r.ctx, e) {
				r.must(err)
				walk(path+"/"+child.Name, child)
			}
		}
	}
	for _, e := range s.entries {
		walk(e.Name, e)
	}
	return all
}

func (r *rig) content(s snapshot, path string) []byte {
	r.Helper()
	data, err := s.File(r.ctx, s.entries, path)
	r.must(err)
	return data
}

func cancelSource(r *rig) {
	p := r.place(Known)
	for n := range steps() {
		before := r.dump(p)
		ctx := newFuse(r.ctx, n)
		memory := NewMemory()
		_, err := r.capture(ctx, p, memory, memory, around{})
		when := fmt.Sprintf("after a cancellation at step %d", n)
		r.clean(p, when)
		r.same(p, before, when)
		r.write(p, 1) // nothing holds a lock
		if !ctx.blown() {
			r.must(err)
			r.Logf("cancelled at steps up to %d", n)
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errInjected) {
			r.Fatalf("step %d: a cancellation gave another error: %v", n, err)
		}
	}
}

func sinkFails(r *rig) {
	p := r.place(Known)
	before := r.dump(p)
	for n := 1; ; n += 1 + n/100 {
		memory := NewMemory()
		sink := newFaulty(memory, n)
		_, err := r.capture(r.ctx, p, memory, sink, around{})
		if !sink.failed() {
			r.must(err)
			r.Logf("failed at calls up to %d", n)
			break
		}
		if !errors.Is(err, errInjected) {
			r.Fatalf("call %d: the sink's error was not passed on: %v", n, err)
		}
		r.clean(p, fmt.Sprintf("after the sink failed at call %d", n))
	}
	r.same(p, before, "after faults")
}

func refusals(r *rig) {
	for _, f := range r.h.Refused(r.T) {
		check := func(side string, err error) {
			if err == nil {
				r.Errorf("%s: %s accepted it", f.What, side)
				return
			}
			for _, want := range f.Want {
				if !strings.Contains(err.Error(), want) {
					r.Errorf("%s: %s says %q, without %q", f.What, side, err, want)
				}
			}
			if p := f.Service.Password; p != "" && strings.Contains(err.Error(), p) {
				r.Errorf("%s: %s shows the password: %q", f.What, side, err)
			}
		}
		if !f.NoSource {
			check("the source", r.prepare(f))
		}
		if !f.NoTarget {
			check("the target", r.plan(f))
		}
	}
}

func (r *rig) prepare(f Refusal) error {
	source, err := r.h.Engine.Source(f.Service)
	if err != nil {
		return err
	}
	defer source.Close()
	return source.Prepare(r.ctx, NewMemory())
}

func (r *rig) plan(f Refusal) error {
	s := r.take(r.place(Known), snapshot{})
	target, err := r.h.Engine.Target(f.Service, "00000000000000000000")
	if err != nil {
		return err
	}
	defer target.Close()
	_, err = target.Plan(r.ctx, s.entries)
	return err
}
