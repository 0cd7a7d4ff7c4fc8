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

// Damage is what a repair found out about a snapshot: what of it is lost, and a
// root that holds the rest. It is a numbered object beside the snapshot, which is
// never changed; the highest number counts. One that names no loss says that the
// snapshot is whole again.
type Damage struct {
	At   time.Time  `cbor:"1,keyasint" json:"found"`
	Lost []Loss     `cbor:"2,keyasint" json:"lost"`
	More uint64     `cbor:"3,keyasint,omitempty" json:"more,omitempty"` // losses that are not in Lost
	Root tree.Entry `cbor:"4,keyasint" json:"-"`                        // of what is left
	Gone []string   `cbor:"5,keyasint,omitempty" json:"gone,omitempty"` // services of which nothing is left
}

// MaxLosses bounds Damage.Lost.
const MaxLosses = 10_000

// Count is how many paths are lost.
func (d *Damage) Count() uint64 { return uint64(len(d.Lost)) + d.More }

type numberedDamage struct {
	number uint64
	Damage
}

// damages reads the newest damage record of every snapshot, or of one where a
// name is given. One that cannot be read is joined into the error.
func (r *Repository) damages(ctx context.Context, of Name) (map[Name]*numberedDamage, error) {
	prefix := "damaged"
	if !of.IsZero() {
		prefix += "/" + of.String()
	}
	newest := map[Name]*numberedDamage{}
	var bad []error
	for info, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list damage records: %w", err)
		}
		name, number, err := parseNumbered("damaged", info.Name)
		if err != nil {
			bad = append(bad, &DamagedError{Object: info.Name, Err: err})
			continue
		}
		if known := newest[name]; known != nil && known.number > number {
			continue
		}
		d := &numberedDamage{number: number}
		err = r.read(ctx, seal.Damage, info.Name, &d.Damage)
		if err == nil {
			err = d.Root.Validate()
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		newest[name] = d
	}
	return newest, errors.Join(bad...)
}

// RecordDamage adds a record beside the snapshot. It reports whether it says
// anything that was not known.
func (r *Repository) RecordDamage(ctx context.Context, n Name, d Damage) (changed bool, err error) {
	for {
		known, err := r.damages(ctx, n)
		if err != nil {
			return false, err
		}
		number := uint64(1)
		if before := known[n]; before != nil {
			if slices.Equal(before.Lost, d.Lost) && before.More == d.More {
				return false, nil
			}
			number = before.number + 1
		} else if len(d.Lost) == 0 {
			return false, nil
		}
		err = r.create(ctx, seal.Damage, fmt.Sprintf("damaged/%s/%08d", n, number), d)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody else repairs too: look again
		}
		return err == nil, err
	}
}

// leave tells s what is known of its damage; d may be nil.
func (s *Snapshot) leave(d *numberedDamage) {
	s.Whole, s.Saved = s.Root, s.Services
	if d != nil {
		s.without(&d.Damage)
	}
}

// without makes s what is left of it: its root that of the record, the losses
// those of its services.
func (s *Snapshot) without(d *Damage) {
	if len(d.Lost) == 0 {
		return
	}
	s.Damage, s.Root = d, d.Root
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		service := &s.Services[i]
		if slices.Contains(d.Gone, service.Name) {
			service.Entries = nil
		}
	}
	for _, l := range d.Lost {
		if service := s.serviceOf(l.Path); service != nil {
			service.Losses = append(slices.Clip(service.Losses), l)
		}
	}
	if d.More > 0 && len(s.Services) > 0 {
		service := s.serviceOf(d.Lost[len(d.Lost)-1].Path)
		if service == nil {
			service = &s.Services[0]
		}
		service.Losses = append(service.Losses, Loss{Reason: fmt.Sprintf("and %d more that are lost", d.More)})
	}
}

// serviceOf returns the service to which a path in the snapshot belongs.
func (s *Snapshot) serviceOf(path string) *Service {
	top, _, _ := strings.Cut(path, "/")
	for i := range s.Services {
		if service := &s.Services[i]; service.Name == top || slices.Contains(service.Entries, top) {
			return service
		}
	}
	return nil
}
