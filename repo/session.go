package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/internal/seal"
)

// Session is announced work: whoever relies on what is in the repository opens
// one before reading the index, so that a collection running at the same time
// waits for it. A Session's name becomes that of the snapshot it commits.
type Session struct {
	Name Name
	repo *Repository
	now  func() time.Time
	rely reliance
	lost bool
}

// The kinds of sessions.
const (
	Create       = "create"
	Restore      = "restore"
	RebuildIndex = "rebuild-index"
)

// sessionRecord is the object sessions/NAME.
type sessionRecord struct {
	Kind    string    `cbor:"1,keyasint"`
	Host    string    `cbor:"2,keyasint"`
	PID     int       `cbor:"3,keyasint"`
	Started time.Time `cbor:"4,keyasint"`
}

// Begin opens a session of a kind ("create", "restore", …) and brings the index
// up to date. A create needs all of the index: what a damaged segment told must
// not be taken over unread.
func (r *Repository) Begin(ctx context.Context, kind string, now func() time.Time) (*Session, error) {
	name, err := NewName(r.random)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // only told to people
	record := sessionRecord{Kind: kind, Host: host, PID: os.Getpid(), Started: now().UTC()}
	if err := r.create(ctx, seal.Session, "sessions/"+name.String(), record); err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	s := &Session{Name: name, repo: r, now: now, rely: reliance{repo: r}}
	err = r.Refresh(ctx)
	if err == nil {
		err = s.avoidLost(ctx)
	}
	if err == nil && kind == Create {
		for object, bad := range r.BadSegments() {
			err = &DamagedError{Object: object, Err: fmt.Errorf("%w; \"holdfast repo rebuild-index\" makes the index anew", bad)}
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.End(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// avoidLost keeps what the session writes from relying on packs that are lost:
// what was in them is stored anew where it is met again.
func (s *Session) avoidLost(ctx context.Context) error {
	lost, err := s.repo.LostPacks(ctx)
	if err != nil {
		return err
	}
	for _, p := range lost {
		s.avoid(p.Name)
	}
	s.lost = len(lost) > 0
	return nil
}

func (s *Session) avoid(pack [32]byte) {
	if s.rely.avoid == nil {
		s.rely.avoid = map[[32]byte]bool{}
	}
	s.rely.avoid[pack] = true
}

// LostPacks reports whether packs were missing when the session began. What is
// the same as in an older snapshot must be read and put all the same then, or
// the new one lacks what that one has lost.
func (s *Session) LostPacks() bool { return s.lost }

// End closes the session, whether it was committed or not.
func (s *Session) End(ctx context.Context) error {
	if err := s.repo.store.Delete(ctx, "sessions/"+s.Name.String()); err != nil {
		return fmt.Errorf("end session %s: %w", s.Name, err)
	}
	return nil
}
