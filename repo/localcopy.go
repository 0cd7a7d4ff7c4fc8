package repo

import (
	"context"
	"maps"
	"os"
	"slices"

	"holdfast/index"
)

// openLocalCopy opens the local copy. If segments in it were superseded since, it is
// restricted to what still counts.
func (r *Repository) openLocalCopy(ctx context.Context, names map[index.SegmentName]bool) {
	l := &r.local
	if l.copy == nil && l.dir != "" && !l.spoiled {
		var err error
		if l.copy, err = index.Open(r.cacheDir()); err != nil {
			l.copy = nil // missing or unusable: it is made anew when it pays
		}
	}
	l.within, l.restricted = map[index.SegmentName]bool{}, false
	if l.copy == nil {
		return
	}
	for _, n := range l.copy.Segments() {
		if !names[n] {
			r.restrictCopy(ctx, names)
			return
		}
		l.within[n] = true
	}
}

// restrictCopy finds out what of the local copy still counts, from the tables of all
// segments: after every collection to make it anew would cost each host as much as
// the whole index is long. A segment that names a pack names all that is in it, so
// one whose packs are all in the copy tells nothing new, whatever it is called.
func (r *Repository) restrictCopy(ctx context.Context, names map[index.SegmentName]bool) {
	l := &r.local
	l.within, l.restricted = map[index.SegmentName]bool{}, true
	tables := map[index.SegmentName]*index.Segment{}
	alive, held := map[[32]byte]bool{}, map[[32]byte]bool{}
	for n := range names {
		s, err := r.openSegment(ctx, index.ObjectName(n), 0)
		if err != nil {
			l.copy = nil // Replace closes it; whoever opens the segment next tells of it
			return
		}
		tables[n] = s
	}
	current := index.Current(tables)
	for _, s := range current {
		for _, p := range s.Packs() {
			alive[p.Name] = true
		}
	}
	err := l.copy.Restrict(func(p index.Pack) bool {
		held[p.Name] = true
		return alive[p.Name]
	})
	if err != nil {
		l.copy = nil
		return
	}
	for n := range names {
		l.within[n] = current[n] == nil || !slices.ContainsFunc(tables[n].Packs(), func(p index.Pack) bool { return !held[p.Name] })
	}
}

func (r *Repository) copyPays() bool {
	l := &r.local
	if l.dir == "" || l.spoiled || len(l.bad) > 0 {
		return false
	}
	entries, held := 0, 0
	for _, s := range l.overlay {
		entries += s.Len()
	}
	if l.copy != nil {
		held = int(l.copy.Len())
	}
	return len(l.overlay) >= copySegments || entries >= max(copyEntries, held/4)
}

// rebuildCopy makes the local copy of all segments. It is an accelerator: when
// it cannot be made, the overlay serves.
func (r *Repository) rebuildCopy(ctx context.Context, names map[index.SegmentName]bool) {
	l := &r.local
	all, room := maps.Clone(l.overlay), l.room
	for n := range names {
		if all[n] == nil {
			s, err := r.openSegment(ctx, index.ObjectName(n), room)
			if err != nil {
				return
			}
			all[n] = s
			room -= s.Held()
		}
	}
	if index.Build(ctx, r.cacheDir(), all) != nil {
		return
	}
	if c, err := index.Open(r.cacheDir()); err == nil {
		l.copy, l.overlay = c, map[index.SegmentName]*index.Segment{}
	}
}

// withoutCopy goes on with the segments alone, because the local copy turned out
// to be damaged; it is removed, so that the next load makes another, or where that
// cannot be, is not looked at any more.
func (r *Repository) withoutCopy() error {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	r.local.spoiled = os.RemoveAll(r.cacheDir()) != nil
	r.local.copy = nil
	_, err := r.loadLocked(context.Background())
	return err
}
