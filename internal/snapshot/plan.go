package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// replacement is one part on its way into the environment.
type replacement struct {
	part    Part
	entries []tree.Entry
	target  engines.Target
	Plan    engines.Plan
	bytes   uint64 // that are to be staged
	staged  engines.Staged
}

func (t *replacement) wrap(while string, err error) error { return t.part.wrap(while, err) }

// Replacement says what a restore does to one service or mount.
type Replacement struct {
	Name     string `json:"name"`
	Subpath  string `json:"subpath,omitempty"` // beneath Name, if that is all that is restored
	Replaces string `json:"replaces,omitempty"`
	Creates  bool   `json:"creates,omitempty"`
	Stays    bool   `json:"stays,omitempty"` // what it creates, undoing leaves in place
	Entries  uint64 `json:"entries"`
	Bytes    uint64 `json:"bytes"`
	// Missing is what the snapshot lacks of it: the restore removes that.
	Missing []repo.Loss `json:"missing,omitempty"`
	// Emptied are tables without rows in the snapshot (schema_only), and Unsaved tables of the
	// target whose current rows a safety snapshot does not hold (schema_only, too).
	Emptied []string `json:"emptied,omitempty"`
	Unsaved []string `json:"unsaved,omitempty"`
	// Empties is set where the snapshot holds nothing and what it replaces does.
	Empties bool `json:"empties,omitempty"`
	// Warnings are the engine's: what should be known before. Told are those that came when
	// the snapshot was taken.
	Warnings []string `json:"warnings,omitempty"`
	Told     []string `json:"snapshot_warnings,omitempty"`
}

// Plan finds the targets and asks each whether the restore can work; its error tells
// of all for which it cannot. It changes nothing. Close must be called afterwards.
func (r *Restoration) Plan(ctx context.Context, token string) ([]Replacement, error) {
	if err := r.choose(); err != nil {
		return nil, err
	}
	entries, err := r.entries(ctx)
	if err != nil {
		return nil, err
	}
	var plan []Replacement
	var refused []error
	for _, p := range r.Parts {
		t := &replacement{part: p, entries: entries[p.Name]}
		held := r.held(p.Name)
		t.part.Subpath, t.part.Server = r.Subpath, held.Server
		if t.target, err = p.Engine.Target(t.part.Service, token); err != nil {
			return nil, p.wrap("", err)
		}
		r.targets = append(r.targets, t)
		if t.Plan, err = r.ask(ctx, t); err != nil {
			refused = append(refused, t.wrap("", err))
			continue
		}
		e, err := Lookup(ctx, r.Repository, r.Snapshot.Root, path.Join(t.entries[0].Name, r.Subpath))
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", r.Snapshot.Name, err)
		}
		t.bytes = e.Size
		plan = append(plan, Replacement{Name: p.Name, Subpath: r.Subpath, Replaces: t.Plan.Replaces, Creates: t.Plan.Creates, Stays: t.Plan.Creates && !t.Plan.Empties,
			Entries: e.Entries + 1, Bytes: e.Size, Missing: Missing(r.Snapshot, p.Name, r.Subpath),
			Emptied: t.Plan.Emptied, Unsaved: t.Plan.Unsaved,
			Empties: held.Empty && !t.Plan.Creates && !t.Plan.Empty, Warnings: t.Plan.Warnings, Told: held.Warnings})
	}
	return plan, errors.Join(refused...)
}

// ask lets a target look whether the restore can work, and what it replaces be saved.
func (r *Restoration) ask(ctx context.Context, t *replacement) (engines.Plan, error) {
	plan, err := t.target.Plan(ctx, t.entries)
	if err == nil && r.Safety && plan.Unreadable != nil {
		err = fmt.Errorf("what the restore replaces could not be saved (--no-safety-snapshot does without): %w", plan.Unreadable)
	}
	checker, more := t.target.(engines.Checker)
	if err != nil || !more {
		return plan, err
	}
	err = checker.Check(ctx, t.entries, r.Repository, &plan)
	return plan, err
}

// choose keeps the parts that the snapshot has. What the target lacks is an
// error, what the snapshot lacks is left untouched.
func (r *Restoration) choose() error {
	has := func(name string) bool {
		return slices.ContainsFunc(r.Snapshot.Services, func(s repo.Service) bool { return s.Name == name })
	}
	var kept []Part
	for _, p := range r.Parts {
		if lost := r.lost(p.Name); len(lost) > 0 {
			r.gone = append(r.gone, lost...)
			if r.Named && len(r.Parts) == 1 {
				return fmt.Errorf("snapshot %s has lost all of %q: %s", r.Snapshot.Name, p.Name, lost[0].Reason)
			}
		} else if has(p.Name) {
			kept = append(kept, p)
		} else if r.Named {
			return fmt.Errorf("snapshot %s has no %q; it has %s", r.Snapshot.Name, p.Name, strings.Join(serviceNames(r.Snapshot), ", "))
		}
	}
	if !r.Named {
		if err := r.lacking(); err != nil {
			return err
		}
	}
	if len(kept) == 0 && len(r.gone) > 0 {
		return fmt.Errorf("snapshot %s has lost all of %s: %s", r.Snapshot.Name, strings.Join(partNames(r.Parts), ", "), r.gone[len(r.gone)-1].Reason)
	}
	if len(kept) == 0 {
		return fmt.Errorf("snapshot %s and the environment %s have nothing in common", r.Snapshot.Name, r.Environment)
	}
	for _, p := range kept {
		i := slices.IndexFunc(r.Snapshot.Services, func(s repo.Service) bool { return s.Name == p.Name })
		if engine := r.Snapshot.Services[i].Engine; engine != p.Engine.Name {
			return fmt.Errorf("%q is of the kind %s in the snapshot and %s in the environment %s", p.Name, engine, p.Engine.Name, r.Environment)
		}
	}
	r.Parts = kept
	return nil
}

// lacking refuses a target without something that the snapshot has.
func (r *Restoration) lacking() error {
	e := LackingError{Environment: r.Environment}
	for _, s := range r.Snapshot.Services {
		i := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Name == s.Name })
		switch {
		case i < 0:
			e.Lacks = append(e.Lacks, s.Name)
		case s.Engine == r.Parts[i].Engine.Name:
			e.Common = append(e.Common, s.Name)
		}
	}
	if len(e.Lacks) == 0 {
		return nil
	}
	return &e
}

// LackingError: the target has not all that the snapshot has.
type LackingError struct {
	Environment string
	Lacks       []string // services and mounts
	Common      []string // what both have
}

// Error names what is missing.
func (e *LackingError) Error() string {
	var names []string
	for _, n := range e.Lacks {
		names = append(names, strconv.Quote(n))
	}
	return fmt.Sprintf("the environment %s has no %s, which the snapshot has", e.Environment, strings.Join(names, " and no "))
}

// held is what the snapshot says of a service.
func (r *Restoration) held(name string) repo.Service {
	for _, s := range r.Snapshot.Services {
		if s.Name == name {
			return s
		}
	}
	return repo.Service{}
}

// lost returns why the snapshot has nothing left of a service; nil if it has.
func (r *Restoration) lost(name string) []repo.Loss {
	for _, s := range r.Snapshot.Services {
		if s.Name == name && r.Snapshot.Damage != nil && len(s.Entries) == 0 {
			return append([]repo.Loss{{Path: name, Reason: "nothing is left of it, so it is not restored"}}, s.Losses...)
		}
	}
	return nil
}

// Gone names what the snapshot has lost as a whole, and a restore leaves as it is.
func (r *Restoration) Gone() []repo.Loss { return r.gone }

func serviceNames(s *repo.Snapshot) []string {
	names := make([]string, len(s.Services))
	for i, service := range s.Services {
		names[i] = service.Name
	}
	return names
}

// entries returns the snapshot's entries by service, in the order in which the
// source sent them.
func (r *Restoration) entries(ctx context.Context) (map[string][]tree.Entry, error) {
	byName := map[string]tree.Entry{}
	for e, err := range r.Repository.Children(ctx, r.Snapshot.Root) {
		if err != nil {
			return nil, fmt.Errorf("read snapshot %s: %w", r.Snapshot.Name, err)
		}
		byName[e.Name] = e
	}
	all := map[string][]tree.Entry{}
	for _, s := range r.Snapshot.Services {
		for _, name := range s.Entries {
			e, ok := byName[name]
			if !ok {
				return nil, fmt.Errorf("read snapshot %s: its root lacks %s", r.Snapshot.Name, name)
			}
			all[s.Name] = append(all[s.Name], e)
		}
		if len(all[s.Name]) == 0 && r.Snapshot.Damage == nil {
			return nil, fmt.Errorf("read snapshot %s: %s has no entries", r.Snapshot.Name, s.Name)
		}
	}
	return all, nil
}
