package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"holdfast/internal/process"
	"holdfast/internal/seal"
)

// Announced is a session that somebody has opened and nobody has ended.
type Announced struct {
	Name    Name            `json:"name"`
	Kind    string          `json:"kind"` // "" where its record cannot be read
	Process process.Process `json:"process"`
	Started time.Time       `json:"started"`
}

// Gone reports that the process which opened the session has certainly ended. Only
// on its own machine can that be told.
func (a *Announced) Gone() bool {
	self, err := process.This()
	return err == nil && self.Gone(a.Process)
}

// Sessions returns the sessions that are open, in order of their names.
func (r *Repository) Sessions(ctx context.Context) ([]Announced, error) {
	var all []Announced
	for info, err := range r.store.List(ctx, "sessions") {
		if err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		n, err := ParseName(strings.TrimPrefix(info.Name, "sessions/"))
		if err != nil {
			continue // nobody's
		}
		a, open, err := r.Announced(ctx, n)
		if err != nil {
			return nil, err
		}
		if open {
			all = append(all, a)
		}
	}
	return all, nil
}

// Announced returns a session, unless it has ended. One whose record is damaged
// is open all the same.
func (r *Repository) Announced(ctx context.Context, n Name) (a Announced, open bool, err error) {
	var record sessionRecord
	err = r.read(ctx, seal.Session, sessionObject(n), &record)
	var damaged *DamagedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, false, nil
	case errors.As(err, &damaged) && !Foreign(err): // who has newer keys is not silent, but not understood
		return Announced{Name: n}, true, nil
	}
	p := process.Process{Host: record.Host, PID: record.PID, Started: record.Ticks, Boot: record.Boot}
	return Announced{n, record.Kind, p, record.Started}, true, err
}

// EndSession ends a session that somebody else has opened: it can no longer
// commit, unless it has done so already. Of those that never commit a snapshot
// nothing is left; of the others a tombstone, for ever, since nobody can know that
// their process will not wake up.
func (r *Repository) EndSession(ctx context.Context, a Announced) error {
	if a.Kind != Collect && a.Kind != RebuildIndex && a.Kind != Repair {
		err := r.spareAll(ctx, seal.Snapshot, snapshotObject(a.Name), tombstone{Ended: true})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("end session %s: %w", a.Name, err)
		}
	}
	return r.store.Delete(ctx, sessionObject(a.Name))
}

// ErrOverwrites: the storage lets an object be put where there is one. What a
// collection relies upon does not hold there.
var ErrOverwrites = errors.New("the storage replaces objects that are there, so nothing is ever deleted from this repository")

// Probe tries to open the session a second time: ErrOverwrites if that succeeds,
// unless somebody had ended it, so that there was nothing to replace.
func (s *Session) Probe(ctx context.Context) error {
	for _, kind := range []string{"probe", "second probe"} {
		err := s.repo.spareAll(ctx, seal.Session, sessionObject(s.Name), sessionRecord{Kind: kind, Started: s.now().UTC()})
		switch {
		case errors.Is(err, fs.ErrExist) && kind == "probe":
			return nil
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("session %s: %w", s.Name, ErrSessionEnded)
		case err != nil:
			return err
		}
	}
	return ErrOverwrites
}
