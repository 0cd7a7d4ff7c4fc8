package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/process"
	"holdfast/internal/seal"
)

// Session is announced work: whoever relies on what is in the repository opens
// one before reading anything, so that a collection running at the same time waits
// for it. A Session's name becomes that of the snapshot it commits.
type Session struct {
	Name Name
	repo *Repository
	now  func() time.Time
	rely *reliance
	lost bool
}

// The kinds of sessions.
const (
	Create       = "create"
	Restore      = "restore"
	RebuildIndex = "rebuild-index"
	Collect      = "gc"
	Repair       = "repair"
)

// sessionRecord is the object sessions/NAME.
type sessionRecord struct {
	Kind    string    `cbor:"1,keyasint"`
	Host    string    `cbor:"2,keyasint"`
	PID     int       `cbor:"3,keyasint"`
	Started time.Time `cbor:"4,keyasint"`
	// The process's start and boot, as package process has them.
	Ticks uint64 `cbor:"5,keyasint,omitempty"`
	Boot  string `cbor:"6,keyasint,omitempty"`
}

func sessionObject(n Name) string { return "sessions/" + n.String() }

// Begin opens a session of a kind ("create", "restore", …), learns what is
// condemned, and brings the index up to date, in this order (docs/gc.md, W1 to W4).
// Who is to write needs the newest keys, or it is a *seal.EpochError.
// A create needs all of the index: what a damaged segment told must not be taken
// over unread.
func (r *Repository) Begin(ctx context.Context, kind string, now func() time.Time) (*Session, error) {
	if kind != Restore {
		if err := r.NeedNewestKeys(ctx); err != nil {
			return nil, err
		}
	}
	name, err := NewName(r.random)
	if err != nil {
		return nil, err
	}
	p, err := process.This()
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	record := sessionRecord{Kind: kind, Host: p.Host, PID: p.PID, Started: now().UTC(), Ticks: p.Started, Boot: p.Boot}
	create := r.create
	if kind == Collect {
		create = r.spareAll
	}
	if err := create(ctx, seal.Session, sessionObject(name), record); err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s := &Session{Name: name, repo: r, now: now, rely: &reliance{repo: r, session: name}}
	if err := s.learn(ctx, kind); err != nil {
		return nil, errors.Join(err, s.End(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// learn finds out what the session may rely on. What was in packs that are lost or
// condemned is stored anew where it is met again.
func (s *Session) learn(ctx context.Context, kind string) error {
	r := s.repo
	condemned, err := r.Condemned(ctx)
	if err != nil {
		return err
	}
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	packs, err := r.comparePacks(ctx, condemned.Packs())
	if err != nil {
		return err
	}
	s.lost, s.rely.packs = len(packs.lost) > 0, packs.good
	if kind != Create {
		return nil
	}
	if err := r.needWholeIndex(ctx, packs.stored != nil); err != nil {
		return err
	}
	forgotten, err := r.Forgotten(ctx, packs.stored, packs.unnamed[:min(len(packs.unnamed), maxAsked)])
	s.lost = s.lost || len(forgotten) > 0
	return err
}

// maxAsked is of how many packs that no segment names a create asks whose they are.
// Another one that is under way, or was killed, may have thousands; check asks of all.
const maxAsked = 64

// needWholeIndex is an error where a segment is damaged, or there should be some; names
// says that they name packs.
func (r *Repository) needWholeIndex(ctx context.Context, names bool) error {
	for object, bad := range r.BadSegments() {
		return &DamagedError{Object: object, Err: fmt.Errorf("%w; \"holdfast repo rebuild-index\" makes the index anew", bad)}
	}
	if names {
		return nil
	}
	if gone, err := r.HasNoIndex(ctx); !gone || err != nil {
		return err
	}
	return fmt.Errorf("%w; \"holdfast repo rebuild-index\" makes it anew", ErrNoIndex)
}

// Avoid keeps what the session writes from relying on some packs. It is called
// before Write.
func (s *Session) Avoid(packs map[[32]byte]bool) {
	s.rely.packs = slices.DeleteFunc(s.rely.packs, func(p [32]byte) bool { return packs[p] })
}

// LostPacks reports whether packs were missing when the session began, or, which only a
// create finds out, what the index told of them. What is the same as in an older
// snapshot must be read and put all the same then, or the new one lacks what that one
// has lost.
func (s *Session) LostPacks() bool { return s.lost }

// End closes the session, whether it was committed or not.
func (s *Session) End(ctx context.Context) error {
	if err := s.repo.store.Delete(ctx, sessionObject(s.Name)); err != nil {
		return fmt.Errorf("end session %s: %w", s.Name, err)
	}
	return nil
}
