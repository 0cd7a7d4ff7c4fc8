package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"holdfast/internal/seal"
	"holdfast/repo/parity"
)

// paritySetting is the object parity/settings/NUMBER; the highest number counts.
type paritySetting struct {
	At      time.Time `cbor:"1,keyasint"`
	Percent int       `cbor:"2,keyasint"` // 0: off
}

const paritySettings = "parity/settings"

// Parity returns how many percent of parity the repository is to have; 0: none.
func (r *Repository) Parity(ctx context.Context) (percent int, err error) {
	s, _, err := r.paritySetting(ctx)
	return s.Percent, err
}

func (r *Repository) paritySetting(ctx context.Context) (s paritySetting, number int, err error) {
	for info, err := range r.store.List(ctx, paritySettings) {
		if err != nil {
			return s, 0, fmt.Errorf("list settings of parity: %w", err)
		}
		n := 0
		if _, err := fmt.Sscanf(info.Name, paritySettings+"/%08d", &n); err == nil {
			number = max(number, n)
		}
	}
	if number == 0 {
		return s, 0, nil
	}
	object := fmt.Sprintf("%s/%08d", paritySettings, number)
	if err = r.read(ctx, seal.Setting, object, &s); err == nil && (s.Percent < 0 || s.Percent > parity.MaxPercent) {
		err = &DamagedError{Object: object, Err: fmt.Errorf("%d percent", s.Percent)}
	}
	return s, number, err
}

// SetParity says how many percent of parity there are to be from now on, 0 for
// none; UpdateParity makes it true. A setting that cannot be read is replaced.
func (r *Repository) SetParity(ctx context.Context, percent int, now time.Time) error {
	for {
		s, number, err := r.paritySetting(ctx)
		if damaged := new(DamagedError); err != nil && !errors.As(err, &damaged) {
			return err
		}
		if err == nil && s.Percent == percent {
			return nil
		}
		err = r.create(ctx, seal.Setting, fmt.Sprintf("%s/%08d", paritySettings, number+1), paritySetting{now.UTC(), percent})
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}
