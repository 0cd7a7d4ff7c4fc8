// Package repair mends a repository as far as it can be mended, and says what is
// lost:
//
//	what stands in an object's place  -> set aside
//	whatever parity covers            -> computed again, byte for byte
//	records that cannot be read       -> set aside
//	packs that are damaged or gone    -> what of them can be read, into new packs
//	index                             -> made anew, without the damaged packs
//	damaged packs                     -> set aside
//	every snapshot                    -> what it lost is recorded beside it
//
// Invariants:
//
//  1. Nothing is removed before all that can be read of it is durable elsewhere;
//     and what could not be read whole is kept beneath aside/.
//  2. Afterwards the index names no copy that is known to be unreadable: what was
//     lost is not known any more, and the next create stores it anew.
//  3. It can be interrupted anywhere and run again.
//
// A dry run only reads.
package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/pack"
)

// Options of Run.
type Options struct {
	DryRun bool
	// Structure leaves the packs' bytes unread: only what is missing or has another
	// length than it had is found.
	Structure bool
	// GiveUp sets aside the snapshots that cannot be read, which else are only named.
	GiveUp bool
	// Divisible reports whether of a service of this engine a part is of use
	// without the rest.
	Divisible func(engine string) bool
	Now       func() time.Time
	Progress  func(bytes int64) // called with what was read; may be nil
}

// Report is what was done, or in a dry run would be.
type Report struct {
	DryRun    bool          `json:"dry_run"`
	Mended    []Mended      `json:"mended"`    // objects, by parity
	Worn      []string      `json:"worn"`      // groups of parity that were damaged, and are made again
	SetAside  []Aside       `json:"set_aside"` // objects that could not be mended
	Salvaged  []Salvaged    `json:"salvaged"`  // packs
	Index     *repo.Rebuilt `json:"index,omitempty"`
	Lost      []Lost        `json:"lost"`   // snapshots that lost something
	Whole     []repo.Name   `json:"whole"`  // snapshots that had, and are whole again
	Unread    []Aside       `json:"unread"` // snapshots that cannot be read at all
	Packs     int           `json:"packs"`
	BytesRead uint64        `json:"bytes_read"`
	// Uncovered is why parity does not cover all of that, as what comes next will: there
	// was no room.
	Uncovered error `json:"-"`
}

// Nothing reports whether there was nothing to do.
func (r *Report) Nothing() bool {
	return len(r.Mended)+len(r.Worn)+len(r.SetAside)+len(r.Salvaged)+len(r.Lost)+len(r.Whole)+len(r.Unread) == 0 && r.Index == nil
}

// Aside is an object and what is wrong with it.
type Aside struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// Salvaged is a damaged pack.
type Salvaged struct {
	Pack   string `json:"pack"`
	Reason string `json:"reason"`
	Saved  int    `json:"saved"` // blobs copied into new packs
	Other  int    `json:"other"` // of which there is another copy
	Lost   int    `json:"lost"`  // copies that cannot be read
}

// Lost is a snapshot that lost something.
type Lost struct {
	repo.Damage
	Snapshot    repo.Name `json:"snapshot"`
	Project     string    `json:"project"`
	Environment string    `json:"environment"`
	Created     time.Time `json:"created"`
	News        bool      `json:"news"` // it was not recorded yet
}

// mender is one run.
type mender struct {
	repo    *repo.Repository
	options Options
	report  *Report
	session *repo.Session // nil in a dry run
	packs   packs
	worn    []string           // groups of parity to be dropped
	known   map[repo.Name]bool // snapshots that were there before the index was read
	cleared []string           // objects in whose place something stood
}

// Run repairs r. The error is about the repairing itself; what is lost stands in
// the report.
func Run(ctx context.Context, r *repo.Repository, o Options) (report *Report, err error) {
	m := &mender{repo: r, options: o, known: map[repo.Name]bool{}, report: &Report{DryRun: o.DryRun, Mended: []Mended{}, Worn: []string{}, SetAside: []Aside{}, Salvaged: []Salvaged{},
		Lost: []Lost{}, Whole: []repo.Name{}, Unread: []Aside{}}}
	if !o.DryRun { // else what is of newer keys could be taken for damaged
		if err := r.NeedNewestKeys(ctx); err != nil {
			return m.report, err
		}
	}
	for _, step := range []func(context.Context) error{m.clearWay, m.parity, m.records} {
		if err := step(ctx); err != nil {
			return m.report, err
		}
	}
	names, err := r.SnapshotNames(ctx)
	if err != nil {
		return m.report, err
	}
	for _, n := range names {
		m.known[n] = true
	}
	if o.DryRun {
		if err := r.Refresh(ctx); err != nil {
			return m.report, err
		}
	} else {
		if m.session, err = r.Begin(ctx, repo.Repair, o.Now); err != nil {
			return m.report, err
		}
		defer func() {
			if end := m.session.End(context.WithoutCancel(ctx)); err == nil {
				err = end
			}
		}()
	}
	for _, step := range []func(context.Context) error{m.examine, m.salvage, m.index, m.putAside, m.snapshots} {
		if err := step(ctx); err != nil {
			return m.report, err
		}
	}
	err = m.renewParity(ctx)
	if errors.Is(err, storage.ErrFull) {
		m.report.Uncovered, err = err, nil
	}
	return m.report, err
}

// index makes the index anew where it does not say what the packs hold, or names
// what is damaged.
func (m *mender) index(ctx context.Context) error {
	bad := 0
	for object, err := range m.repo.BadSegments() {
		if repo.Foreign(err) {
			return fmt.Errorf("%s: %w", object, err)
		}
		m.aside(object, err)
		bad++
	}
	if bad == 0 && len(m.packs.damaged) == 0 && m.packs.unindexed == 0 {
		return nil
	}
	if m.options.DryRun {
		m.report.Index = &repo.Rebuilt{Packs: m.report.Packs - len(m.packs.damaged)}
		return nil
	}
	without := map[[32]byte]bool{}
	for name := range m.packs.damaged {
		without[name] = true
	}
	done, err := m.session.RebuildIndex(ctx, without, func(int, int) {})
	m.report.Index = &done
	return err
}

func (m *mender) aside(object string, err error) {
	m.report.SetAside = append(m.report.SetAside, Aside{object, err.Error()})
}

// putAside takes the damaged packs out of the way, now that the index does not
// name them any more.
func (m *mender) putAside(ctx context.Context) error {
	for _, name := range m.packs.inOrder() {
		p := m.packs.damaged[name]
		switch {
		case !p.stored:
		case p.saved:
			if m.options.DryRun {
				continue
			}
			if _, err := m.repo.RemovePack(ctx, name); err != nil {
				return err
			}
		default:
			object := pack.ObjectName(name)
			m.aside(object, p.reason)
			if m.options.DryRun {
				continue
			}
			if err := m.repo.SetAside(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
