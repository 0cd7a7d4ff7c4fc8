package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/tree"
)

// Consistency says what of a snapshot is one instant.
type Consistency string

const (
	// OneInstant: all services and mounts, requests being held.
	OneInstant Consistency = "one-instant"
	// PerService: each service by itself, all at nearly the same time.
	PerService Consistency = "per-service"
	// Live: nothing was held, by choice or because the hold took too long.
	Live Consistency = "live"
)

// Snapshot is an environment at one point. The field numbers are its format.
type Snapshot struct {
	Name Name `cbor:"-" json:"name"` // from the object's name, which the seal binds

	Project     string    `cbor:"2,keyasint" json:"project"`
	Environment string    `cbor:"3,keyasint" json:"environment"`
	Created     time.Time `cbor:"4,keyasint" json:"created"`
	Description string    `cbor:"5,keyasint,omitempty" json:"description,omitempty"`

	// Counter counts the environment's snapshots from 1; Predecessor is the one
	// before. A snapshot that vanishes leaves a gap that can be seen, and which is
	// never filled: see Repository.LastCounter.
	Counter     uint64 `cbor:"6,keyasint" json:"counter"`
	Predecessor Name   `cbor:"7,keyasint,omitempty" json:"predecessor,omitzero"`
	// Parent is the snapshot whose streams served for reuse and as delta bases.
	Parent Name `cbor:"8,keyasint,omitempty" json:"parent,omitzero"`

	Consistency Consistency   `cbor:"9,keyasint" json:"consistency"`
	Held        time.Duration `cbor:"10,keyasint,omitempty" json:"held_ns,omitempty"`
	Skew        time.Duration `cbor:"11,keyasint,omitempty" json:"skew_ns,omitempty"` // between the first and the last mark
	Took        time.Duration `cbor:"12,keyasint" json:"took_ns"`

	// Definition is the environment's configuration, without secrets, as JSON.
	Definition string `cbor:"13,keyasint,omitempty" json:"-"`
	// Restore is set in a safety snapshot: the snapshot that replaced this data.
	Restore Name `cbor:"14,keyasint,omitempty" json:"safety_for,omitzero"`

	Services []Service `cbor:"15,keyasint" json:"services"`
	// Root is a directory whose entries are all services' entries.
	Root    tree.Entry `cbor:"16,keyasint" json:"-"`
	Stats   Stats      `cbor:"17,keyasint" json:"stats"`
	Program string     `cbor:"18,keyasint" json:"program"`
	Host    string     `cbor:"19,keyasint" json:"host"`
	// Gate is what became of the requests meanwhile; nil where there was no gate.
	Gate *Hold `cbor:"20,keyasint,omitempty" json:"gate,omitempty"`

	// Damage is set when a repair found data of the snapshot lost. Root and
	// Services are then of what is left; Whole and Saved are what was committed,
	// else the same.
	Damage *Damage    `cbor:"-" json:"damage,omitempty"`
	Whole  tree.Entry `cbor:"-" json:"-"`
	Saved  []Service  `cbor:"-" json:"-"`
}

// Service is what a snapshot says about one service or mount.
type Service struct {
	Name     string        `cbor:"1,keyasint" json:"name"`
	Engine   string        `cbor:"2,keyasint" json:"engine"`
	Server   string        `cbor:"3,keyasint,omitempty" json:"server,omitempty"`
	Marked   time.Time     `cbor:"4,keyasint" json:"marked"`
	Position string        `cbor:"5,keyasint,omitempty" json:"position,omitempty"`
	Rung     string        `cbor:"6,keyasint,omitempty" json:"privileges,omitempty"`
	Entries  []string      `cbor:"7,keyasint" json:"entries"` // names in the snapshot's root
	Count    uint64        `cbor:"8,keyasint" json:"count"`   // entries, at all depths
	Bytes    uint64        `cbor:"9,keyasint" json:"bytes"`
	Losses   []Loss        `cbor:"10,keyasint,omitempty" json:"losses,omitempty"`
	Notes    []string      `cbor:"11,keyasint,omitempty" json:"notes,omitempty"`
	MarkTook time.Duration `cbor:"12,keyasint,omitempty" json:"mark_ns,omitempty"`
	// Subpath is the one path beneath Name that is held, clean and relative; ""
	// where it is all of it. Only a safety snapshot has one, of its only service.
	Subpath string `cbor:"13,keyasint,omitempty" json:"subpath,omitempty"`
	// Unheld says how the service moved on while requests were held, after it was
	// marked: somebody wrote to it past the gate. "" if nobody is known to have.
	Unheld string `cbor:"14,keyasint,omitempty" json:"unheld,omitempty"`
	// Warnings are what somebody should look at, such as a mount that is suddenly
	// empty; Notes only say what the data are worth.
	Warnings []string `cbor:"15,keyasint,omitempty" json:"warnings,omitempty"`
	Empty    bool     `cbor:"16,keyasint,omitempty" json:"empty,omitempty"` // it was there, and held nothing
}

// Loss names what a snapshot should hold and does not.
type Loss struct {
	_      struct{} `cbor:",toarray"`
	Path   string   `json:"path"`
	Reason string   `json:"reason"`
}

// Partial returns the service of which s holds one path and nothing else, or nil.
func (s *Snapshot) Partial() *Service {
	if len(s.Services) == 1 && s.Services[0].Subpath != "" {
		return &s.Services[0]
	}
	return nil
}

// Losses returns those of all services.
func (s *Snapshot) Losses() []Loss {
	var all []Loss
	for _, service := range s.Services {
		all = append(all, service.Losses...)
	}
	return all
}

// Stats counts what taking a snapshot amounted to, in bytes and blobs.
type Stats struct {
	Bytes  uint64 `cbor:"1,keyasint" json:"bytes"`   // what the snapshot stands for
	Read   uint64 `cbor:"2,keyasint" json:"read"`    // taken from the services
	Kept   uint64 `cbor:"3,keyasint" json:"kept"`    // taken over from the parent unread
	New    uint64 `cbor:"4,keyasint" json:"new"`     // in blobs the repository did not have
	Stored uint64 `cbor:"5,keyasint" json:"stored"`  // packs and index segments written
	Blobs  uint64 `cbor:"6,keyasint" json:"blobs"`   // written
	Deltas uint64 `cbor:"7,keyasint" json:"deltas"`  // of those, stored as differences
	Files  uint64 `cbor:"8,keyasint" json:"entries"` // files, directories and others
}

// tombstone is what stands under a snapshot's name when its session was ended.
type tombstone struct {
	Ended bool `cbor:"1,keyasint"`
}

func snapshotObject(n Name) string { return "snapshots/" + n.String() }

// Commit makes s, under the session's name, a snapshot for everybody: the last
// act of a create, after Write. ErrSessionEnded if somebody was faster.
func (s *Session) Commit(ctx context.Context, snapshot *Snapshot) error {
	snapshot.Name = s.Name
	err := s.repo.create(ctx, seal.Snapshot, snapshotObject(s.Name), snapshot)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("commit snapshot %s: %w", s.Name, ErrSessionEnded)
	}
	if err == nil {
		s.repo.remember(map[string]uint64{lineKey{snapshot.Project, snapshot.Environment}.String(): snapshot.Counter})
	}
	return err
}

// Snapshot reads one by its whole name; a deleted one too. Of one that lost data
// it is what is left.
func (r *Repository) Snapshot(ctx context.Context, n Name) (*Snapshot, error) {
	s, err := r.committed(ctx, n)
	if err != nil {
		return nil, err
	}
	known, err := r.damages(ctx, n)
	if err != nil {
		return nil, err
	}
	s.leave(known[n])
	return s, nil
}

// committed reads a snapshot as it was committed.
func (r *Repository) committed(ctx context.Context, n Name) (*Snapshot, error) {
	object := snapshotObject(n)
	data, err := r.readSealed(ctx, seal.Snapshot, object)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("snapshot %s: %w", n, ErrNoSnapshot)
	}
	if err != nil {
		return nil, err
	}
	if decode(data, &tombstone{}) == nil {
		return nil, fmt.Errorf("snapshot %s was never finished: %w", n, ErrNoSnapshot)
	}
	s := &Snapshot{Name: n}
	if err := decode(data, s); err != nil {
		return nil, &DamagedError{Object: object, Err: err}
	}
	if err := s.validate(); err != nil {
		return nil, &DamagedError{Object: object, Err: err}
	}
	return s, nil
}

func (s *Snapshot) validate() error {
	if s.Root.Type != tree.Directory {
		return errors.New("its root is no directory")
	}
	for _, service := range s.Services {
		if err := s.validateSubpath(service); err != nil {
			return fmt.Errorf("%s: %w", service.Name, err)
		}
	}
	return s.Root.Validate()
}

// validateSubpath: more than what such a snapshot holds must never be replaced by
// it, so what it holds has to be beyond doubt.
func (s *Snapshot) validateSubpath(service Service) error {
	switch {
	case service.Subpath == "":
		return nil
	case len(s.Services) > 1 || s.Restore.IsZero():
		return errors.New("only the one service of a safety snapshot can be held in part")
	}
	for name := range strings.SplitSeq(service.Subpath, "/") {
		if !tree.ValidName(name) {
			return fmt.Errorf("it is held in part, of the path %q, which is none", service.Subpath)
		}
	}
	return nil
}

// snapshotNames lists the names of all snapshots, deleted ones and tombstones
// included, in order; and what stands among them that is none.
func (r *Repository) snapshotNames(ctx context.Context) (names []Name, strays []error, err error) {
	for info, err := range r.store.List(ctx, "snapshots") {
		if err != nil {
			return nil, nil, fmt.Errorf("list snapshots: %w", err)
		}
		n, err := ParseName(strings.TrimPrefix(info.Name, "snapshots/"))
		if err != nil {
			strays = append(strays, &DamagedError{Object: info.Name, Err: ErrStray})
			continue
		}
		names = append(names, n)
	}
	return names, strays, nil
}

// SnapshotNames lists the names of all snapshots, deleted ones and tombstones included,
// whether they can be read or not.
func (r *Repository) SnapshotNames(ctx context.Context) ([]Name, error) {
	names, _, err := r.snapshotNames(ctx)
	return names, err
}

// Listed is a snapshot with its marks.
type Listed struct {
	*Snapshot
	Pinned  bool      `json:"pinned"`
	Deleted time.Time `json:"deleted,omitzero"` // when it was put into the trash
}

// Hides reports whether what Snapshots returned as an error may hide snapshots: it is
// not about records beside them alone.
func Hides(err error) bool {
	return err != nil && slices.ContainsFunc(split(err), func(err error) bool {
		damaged, ok := errors.AsType[*DamagedError](err)
		return !ok || strings.HasPrefix(damaged.Object, "snapshots")
	})
}

// Snapshots reads all snapshots that were committed and not purged, oldest first.
// Damaged ones, and damaged records about them, do not hide the others: they are
// joined into the error, and what could be read is returned beside it.
func (r *Repository) Snapshots(ctx context.Context) ([]Listed, error) {
	names, bad, err := r.snapshotNames(ctx)
	if err != nil {
		return nil, err
	}
	marks, unread, err := r.readableMarks(ctx)
	if err != nil {
		return nil, err
	}
	bad = append(bad, unread...)
	condemned, err := r.Condemned(ctx)
	if _, damaged := errors.AsType[*DamagedError](err); damaged {
		bad, condemned = append(bad, err), &Condemned{}
	} else if err != nil {
		return nil, err
	}
	damages, err := r.damages(ctx, Name{})
	if damages == nil {
		return nil, err
	}
	if err != nil {
		bad = append(bad, split(err)...)
	}
	var all []Listed
	for _, n := range names {
		if marks.purged(n) || condemned.Dead(n) {
			continue
		}
		s, err := r.committed(ctx, n)
		switch {
		case errors.Is(err, ErrNoSnapshot): // a tombstone, or collected meanwhile
		case err != nil:
			bad = append(bad, err)
		default:
			s.leave(damages[n])
			all = append(all, Listed{s, marks.pinned(n), marks.deleted(n)})
		}
	}
	sortByAge(all)
	return all, errors.Join(bad...)
}
