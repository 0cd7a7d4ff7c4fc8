package repo

import (
	"context"
	"slices"

	"holdfast/internal/blob"
	"holdfast/repo/pack"
)

// Missed are blobs that snapshots need and that cannot be read: as many as fit into a
// bounded memory. Where there are more, any may be one.
type Missed struct {
	ids  map[blob.ID]struct{}
	more bool
}

// maxMissed bounds Missed.ids; it is about 4 MB.
const maxMissed = 1 << 16

// Add adds a blob.
func (m *Missed) Add(id blob.ID) {
	if _, known := m.ids[id]; known || m.more {
		return
	}
	if m.more = len(m.ids) == maxMissed; m.more {
		return
	}
	if m.ids == nil {
		m.ids = map[blob.ID]struct{}{}
	}
	m.ids[id] = struct{}{}
}

// None reports whether nothing is missed.
func (m *Missed) None() bool { return len(m.ids) == 0 }

// Len is how many are known.
func (m *Missed) Len() int { return len(m.ids) }

// Any reports whether some of these blobs may be missed.
func (m *Missed) Any(of []pack.Placed) bool {
	return m.more || slices.ContainsFunc(of, func(p pack.Placed) bool {
		_, is := m.ids[p.ID]
		return is
	})
}

// Holding returns those of these packs, which no segment names, that hold what is
// missed: somebody has put them back, or the work that has stored it anew was killed. An
// open session will name its own. stored has the packs' sizes.
func (r *Repository) Holding(ctx context.Context, stored map[[32]byte]int64, unnamed [][32]byte, missed *Missed) ([][32]byte, error) {
	if missed.None() || len(unnamed) == 0 {
		return nil, nil
	}
	sessions, err := r.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	open := map[Name]bool{}
	for _, a := range sessions {
		open[a.Name] = true
	}
	var holding [][32]byte
	for _, name := range unnamed {
		info, placed, err := r.PackDirectory(ctx, name, stored[name])
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil && !open[info.Session] && missed.Any(placed) { // else it may be torn, or gone by now
			holding = append(holding, name)
		}
	}
	if len(holding) == 0 {
		return nil, nil
	}
	if holding, err = r.stillUnnamed(ctx, holding); err != nil {
		return nil, err
	}
	return r.stillThere(ctx, holding)
}
