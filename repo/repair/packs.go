package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/repo"
	"holdfast/repo/pack"
	"holdfast/repo/parity"
)

// packs is what is known of the packs.
type packs struct {
	stored     map[[32]byte]int64
	damaged    map[[32]byte]*damagedPack
	condemned  map[[32]byte]bool       // when the others were listed: a collection may delete them at any time
	collected  map[[32]byte]bool       // deleted by one, though the index names them
	going      map[[32]byte]bool       // a collection may delete them next, whatever is needed of them
	endangered map[blob.ID]index.Entry // needed, and to be read in these alone
	unindexed  int                     // stored, and named by no segment
	bad        map[copyKey]bool
	proven     map[[32]byte]bool          // read already, and found whole
	partly     map[[32]byte]parity.Stored // damaged, and mended in part by this group
}

type copyKey struct {
	pack   [32]byte
	number uint32
}

type damagedPack struct {
	stored bool
	saved  bool // every blob of it has another copy by now
	reason error
}

func (p *packs) inOrder() [][32]byte {
	names := make([][32]byte, 0, len(p.damaged))
	for n := range p.damaged {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	return names
}

// examine finds the damaged packs, and the copies in them that cannot be read.
func (m *mender) examine(ctx context.Context) error {
	indexed, err := m.repo.IndexedPacks(ctx)
	if err != nil {
		return err
	}
	condemned, err := m.condemned(ctx) // what is condemned later waits for this session
	if err != nil {
		return err
	}
	stored, err := m.repo.StoredPacks(ctx)
	if err != nil {
		return err
	}
	if m.options.DryRun {
		if err := m.repo.PretendIndex(ctx); err != nil {
			return err
		}
	}
	m.report.Packs = len(stored)
	m.packs.stored, m.packs.damaged, m.packs.bad = stored, map[[32]byte]*damagedPack{}, map[copyKey]bool{}
	m.packs.condemned, m.packs.collected = condemned.Packs(), map[[32]byte]bool{}
	m.packs.endangered = map[blob.ID]index.Entry{}
	if condemned, err = m.condemned(ctx); err != nil {
		return err
	}
	going := condemned.Swept() // the others of the list are there until it says so
	for name, p := range indexed {
		size, ok := stored[name]
		switch {
		case !ok && going[name]:
			m.packs.collected[name] = true
		case !ok:
			m.packs.damaged[name] = &damagedPack{reason: errors.New("is missing")}
		case size != int64(p.Size):
			m.packs.damaged[name] = &damagedPack{stored: true, reason: fmt.Errorf("has %d bytes, the index says %d", size, p.Size)}
		}
	}
	for name, size := range stored {
		if _, ok := indexed[name]; !ok {
			m.packs.unindexed++
		}
		if m.options.Structure || m.packs.damaged[name] != nil || m.packs.proven[name] {
			continue
		}
		if err := m.read(ctx, name); err != nil {
			return err
		}
		m.wasRead(size)
	}
	if m.packs.going = going; len(m.packs.damaged) > 0 {
		m.packs.going = m.packs.condemned // by now a list may say so of any of them
	}
	return nil
}

func (m *mender) condemned(ctx context.Context) (*repo.Condemned, error) {
	list, err := m.repo.Condemned(ctx)
	if _, damaged := errors.AsType[*repo.DamagedError](err); damaged && m.options.DryRun {
		return &repo.Condemned{}, nil // it would have been set aside
	}
	return list, err
}

// read looks at every byte of a pack.
func (m *mender) read(ctx context.Context, name [32]byte) error {
	bad, err := m.repo.VerifyPack(ctx, name)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && repo.Foreign(err) {
		return err
	}
	for _, b := range bad {
		if !b.Base && err == nil {
			err = fmt.Errorf("blob %s: %w", b.ID.Short(), b.Err)
		}
	}
	if err != nil {
		m.packs.damaged[name] = &damagedPack{stored: true, reason: err}
	}
	return nil
}

// salvage copies what can be read of the damaged packs into new ones.
func (m *mender) salvage(ctx context.Context) error {
	if len(m.packs.damaged) == 0 {
		return nil
	}
	names := map[[32]byte]bool{}
	for name := range m.packs.damaged {
		names[name] = true
	}
	known, err := m.repo.EntriesOf(ctx, names)
	if err != nil {
		return err
	}
	outside := m.repo.NewSurvey(m.unreliable)
	adopt := func(context.Context, *index.Entry, []byte) error { return nil }
	if m.options.DryRun {
		return m.salvageAll(ctx, known, outside, adopt)
	}
	m.session.Avoid(names)
	return m.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		return m.salvageAll(ctx, known, outside, w.Adopt)
	})
}

// unreliable is why a copy does not make one in a damaged pack superfluous: a collection
// that has decided to delete the pack it lies in may rest on just that other one.
func (m *mender) unreliable(e *index.Entry) error {
	name := e.Pack.Name
	why := errors.New("is condemned")
	if p := m.packs.damaged[name]; p != nil {
		why = p.reason
	} else if _, stored := m.packs.stored[name]; stored && !m.packs.condemned[name] {
		return nil
	}
	return fmt.Errorf("%s: %w", pack.ObjectName(name), why)
}

type adopter func(context.Context, *index.Entry, []byte) error

func (m *mender) salvageAll(ctx context.Context, known map[[32]byte][]index.Entry, outside *repo.Survey, adopt adopter) error {
	adopted := map[blob.ID]uint8{} // depth of the copy
	for _, name := range m.packs.inOrder() {
		s, err := m.repo.ReadPack(ctx, name, known[name])
		if err != nil {
			return err
		}
		computed, err := m.partly(ctx, name)
		if err != nil {
			return err
		}
		told := Salvaged{Pack: pack.ObjectName(name), Reason: m.packs.damaged[name].reason.Error()}
		for i := range s.Entries {
			e := &s.Entries[i]
			why, err := outside.Replaceable(e.ID, e.Depth)
			if err != nil {
				return err
			}
			if depth, is := adopted[e.ID]; why == nil || is && depth <= e.Depth {
				told.Other++
				continue
			}
			payload, err := m.repo.Payload(s.Data, e)
			if err != nil && computed != nil {
				payload, err = m.repo.Payload(computed, e)
			}
			if err != nil {
				told.Lost++
				m.packs.bad[copyKey{name, e.Number}] = true
				continue
			}
			if err := adopt(ctx, e, payload); err != nil {
				return err
			}
			adopted[e.ID] = e.Depth
			told.Saved++
		}
		m.packs.damaged[name].saved = told.Lost == 0 && s.Listed
		m.report.Salvaged = append(m.report.Salvaged, told)
	}
	return nil
}
