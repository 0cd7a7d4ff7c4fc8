package repair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/internal/storage"
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

// Locked mends what it takes to open a repository, its config and its key slots,
// and needs no key for that. In a dry run it only says what it would mend.
func Locked(ctx context.Context, store storage.Storage, dryRun bool) ([]Mended, error) {
	if !dryRun {
		if err := parity.Resume(ctx, store); err != nil {
			return nil, err
		}
	}
	var all []Mended
	for g, err := range parity.Groups(ctx, store) {
		if err != nil {
			return all, err
		}
		if g.Group == nil || !opens(g.Members) {
			continue
		}
		found, err := g.Examine(ctx, store, g.Object)
		if err != nil {
			return all, err
		}
		for _, d := range found.Damaged {
			if d.Data == nil || d.Name != "config" && !strings.HasPrefix(d.Name, "keys/") {
				continue
			}
			if there, err := stillThere(ctx, store, g.Object); !there || err != nil {
				return all, err
			}
			all = append(all, mendedOf(d))
			if dryRun {
				continue
			}
			if err := parity.Replace(ctx, store, d.Name, d.Data); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func opens(members []parity.Member) bool {
	for _, m := range members {
		if m.Name == "config" || strings.HasPrefix(m.Name, "keys/") {
			return true
		}
	}
	return false
}

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
	m.packs.proven = map[[32]byte]bool{}
	for g, err := range m.repo.ParityGroups(ctx) {
		if err != nil {
			return err
		}
		if g.Group == nil {
			m.worn = append(m.worn, g.Object)
			m.report.Worn = append(m.report.Worn, g.Object)
			continue
		}
		if err := m.group(ctx, g); err != nil {
			return fmt.Errorf("%s: %w", g.Object, err)
		}
	}
	return nil
}

func (m *mender) group(ctx context.Context, g parity.Stored) error {
	if m.options.Structure {
		if whole, err := m.repo.HasWhole(ctx, g.Members); whole || err != nil {
			return err
		}
	}
	found, err := m.repo.ExamineParity(ctx, g)
	if err != nil {
		return err
	}
	m.wasRead(found.Read)
	damaged := map[string]bool{}
	left := 0
	for _, d := range found.Damaged {
		damaged[d.Name] = true
		mended := d.Data != nil
		if mended && m.options.DryRun {
			mended = m.repo.PretendMended(d)
		} else if mended {
			if mended, err = m.repo.Mend(ctx, g.Object, d); err != nil {
				return err
			}
		}
		if mended {
			m.report.Mended = append(m.report.Mended, mendedOf(d))
		} else {
			left++
		}
	}
	for _, member := range g.Members {
		if name, err := pack.ParseObjectName(member.Name); err == nil && !damaged[member.Name] {
			m.packs.proven[name] = true
		}
	}
	if left == 0 && found.Parity > 0 {
		m.worn = append(m.worn, g.Object)
		m.report.Worn = append(m.report.Worn, g.Object)
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
