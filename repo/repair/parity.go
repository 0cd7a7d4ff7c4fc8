package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/pack"
	"holdfast/repo/parity"
)

// Mended is an object that parity has brought back.
type Mended struct {
	Object string `json:"object"`
	Gone   bool   `json:"gone"`   // it was not there at all
	Blocks int    `json:"blocks"` // of it that were damaged
}

func mendedOf(d parity.Damaged) Mended {
	return Mended{Object: d.Name, Gone: d.Missing, Blocks: d.Blocks}
}

// Opening is what was done, or in a dry run would be, about what it takes to open a
// repository: its config and its key slots.
type Opening struct {
	Mended   []Mended
	SetAside []Aside         // what stood in their place
	Store    storage.Storage // as it is afterwards, in a dry run as it would be
}

// Locked mends what it takes to open a repository, and needs no key for that. In a
// dry run it changes nothing.
func Locked(ctx context.Context, store storage.Storage, dryRun bool) (o Opening, err error) {
	for _, folder := range []string{"config", "keys"} {
		obstacles, err := repo.Obstacles(ctx, store, folder)
		if err != nil {
			return o, err
		}
		for _, obstacle := range obstacles {
			if !isWayIn(obstacle.Object) {
				continue
			}
			if err := repo.ClearWay(ctx, store, obstacle, dryRun); err != nil {
				return o, err
			}
			o.SetAside = append(o.SetAside, Aside{obstacle.Object, obstacle.Err.Error()})
		}
	}
	put := func(name string, data []byte) error { return parity.Replace(ctx, store, name, data) }
	o.Store = store
	if dryRun {
		would := map[string][]byte{}
		put = func(name string, data []byte) error { would[name] = data; return nil }
		o.Store = repo.Pretend(store, would)
	} else if err := parity.Resume(ctx, store, nil); err != nil {
		return o, err
	}
	_, err = repo.ListedAnew(func() (struct{}, error) { return struct{}{}, o.mend(ctx, store, put) })
	return o, err
}

// mend goes through all groups once; fs.ErrNotExist says that one was removed meanwhile.
func (o *Opening) mend(ctx context.Context, store storage.Storage, put func(name string, data []byte) error) error {
	var gone error
	for g, err := range parity.Groups(ctx, store) {
		if err != nil {
			return err
		}
		if g.Group == nil || !opens(g.Members) {
			continue
		}
		_, err := g.Examine(ctx, store, g.Object, func(d parity.Damaged) error {
			if !d.Whole || !isWayIn(d.Name) || slices.ContainsFunc(o.Mended, func(m Mended) bool { return m.Object == d.Name }) {
				return nil
			}
			if there, err := stillThere(ctx, store, g.Object); !there || err != nil {
				return err
			}
			o.Mended = append(o.Mended, mendedOf(d))
			return put(d.Name, d.Data)
		})
		if errors.Is(err, fs.ErrNotExist) {
			gone = err
		} else if err != nil {
			return err
		}
	}
	return gone
}

func opens(members []parity.Member) bool {
	return slices.ContainsFunc(members, func(m parity.Member) bool { return isWayIn(m.Name) })
}

// isWayIn reports whether an object is one of those that it takes to open the repository.
func isWayIn(object string) bool { return object == "config" || strings.HasPrefix(object, "keys/") }

// maxWayIn bounds such an object, in bytes.
const maxWayIn = 16 << 20

// stillThere reports whether a group was not removed meanwhile: whoever removes an
// object removes its groups before, and what is gone on purpose must not come back.
func stillThere(ctx context.Context, store storage.Storage, object string) (bool, error) {
	_, err := store.Stat(ctx, object)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// parity mends by parity what it can, before anything else is tried. It notes the
// packs that it has found as they must be, so that they need not be read again.
func (m *mender) parity(ctx context.Context) error {
	if !m.options.DryRun {
		if err := m.repo.ResumeMending(ctx); err != nil {
			return err
		}
	}
	m.packs.proven, m.packs.partly = map[[32]byte]bool{}, map[[32]byte]parity.Stored{}
	seen := map[string]bool{}
	_, err := repo.ListedAnew(func() (struct{}, error) { return struct{}{}, m.groups(ctx, seen) })
	return err
}

// groups mends by all groups that were not seen yet. fs.ErrNotExist says that one was
// removed meanwhile; what it covered may be in another one by now.
func (m *mender) groups(ctx context.Context, seen map[string]bool) error {
	var gone error
	for g, err := range m.repo.ParityGroups(ctx) {
		if err != nil {
			return err
		}
		if seen[g.Object] {
			continue
		}
		if g.Group == nil {
			m.isWorn(g.Object)
		} else if err := m.group(ctx, g); errors.Is(err, fs.ErrNotExist) {
			gone = fmt.Errorf("%s: %w", g.Object, err)
			continue
		} else if err != nil {
			return fmt.Errorf("%s: %w", g.Object, err)
		}
		seen[g.Object] = true
	}
	return gone
}

func (m *mender) isWorn(object string) {
	m.worn = append(m.worn, object)
	m.report.Worn = append(m.report.Worn, object)
}

func (m *mender) group(ctx context.Context, g parity.Stored) error {
	if m.options.Structure {
		if whole, err := m.repo.HasWhole(ctx, g.Members); whole || err != nil {
			return err
		}
	}
	damaged := map[string]bool{}
	left := 0
	found, err := m.repo.ExamineParity(ctx, g, func(d parity.Damaged) (err error) {
		damaged[d.Name] = true
		mended := d.Whole
		if mended && m.options.DryRun {
			if mended, err = m.repo.HasObject(ctx, g.Object); err != nil {
				return err
			}
			mended = mended && m.repo.PretendMended(ctx, d)
		} else if mended {
			if mended, err = m.repo.Mend(ctx, g.Object, d); err != nil {
				return err
			}
		}
		if mended {
			m.report.Mended = append(m.report.Mended, mendedOf(d))
			return nil
		}
		left++
		if name, err := pack.ParseObjectName(d.Name); err == nil {
			m.packs.partly[name] = g
		}
		return nil
	})
	if err != nil {
		return err
	}
	if found.Parity > 0 || left > 0 { // it may just not be there any more
		if there, err := m.repo.HasObject(ctx, g.Object); err != nil || !there {
			return cmp.Or(err, fs.ErrNotExist)
		}
	}
	m.wasRead(found.Read)
	for _, member := range g.Members {
		if name, err := pack.ParseObjectName(member.Name); err == nil && !damaged[member.Name] {
			m.packs.proven[name] = true
		}
	}
	if left == 0 && found.Parity > 0 {
		m.isWorn(g.Object)
	}
	return nil
}

// renewParity covers anew what damaged groups covered, and what the repair wrote.
func (m *mender) renewParity(ctx context.Context) error {
	if m.options.DryRun {
		return nil
	}
	for _, object := range m.worn {
		if err := m.repo.DropParity(ctx, object); err != nil {
			return err
		}
	}
	_, err := m.repo.UpdateParity(ctx, nil)
	return err
}

func (m *mender) wasRead(n int64) {
	m.report.BytesRead += uint64(n)
	if m.options.Progress != nil {
		m.options.Progress(n)
	}
}

// partly returns the bytes of a damaged pack as far as parity can compute them
// again; nil where there is no parity of it. The group is read once more: to keep
// what was computed would take too much memory.
func (m *mender) partly(ctx context.Context, name [32]byte) (data []byte, err error) {
	g, ok := m.packs.partly[name]
	if !ok {
		return nil, nil
	}
	_, err = m.repo.ExamineParity(ctx, g, func(d parity.Damaged) error {
		if d.Name == pack.ObjectName(name) {
			data = d.Data
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was removed meanwhile
	}
	return data, err
}
