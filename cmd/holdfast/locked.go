package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/repair"
)

// copyBack is what helps where nothing is known of what opens a repository.
const copyBack = "\"holdfast repo repair\" mends it from parity, where there is some; else put %s back from a copy of the repository: no other one fits"

// lockedOut makes of the error of a repository that did not open one that says what is
// at fault, as far as that can be told without a key, and what helps. origin tells
// where the password or token came from.
func lockedOut(ctx context.Context, store storage.Storage, err error, origin string) error {
	damaged, isDamaged := errors.AsType[*repo.DamagedError](err)
	wrong, without := errors.Is(err, repo.ErrWrongSecret), errors.Is(err, repo.ErrNoSlot)
	if !wrong && !without && !isDamaged && !errors.Is(err, seal.ErrDamaged) || repo.Foreign(err) {
		return err
	}
	// What parity does not tell, nobody knows; the error says enough without it.
	if amiss, _ := repair.Amiss(ctx, store); len(amiss) > 0 {
		changed := slices.ContainsFunc(amiss, func(m repair.Mended) bool { return !m.Gone })
		if without && !changed {
			err = fmt.Errorf("%w: %s", err, amissText(amiss))
		} else if without || wrong {
			err = errors.New(amissText(amiss)) // so the password may be right
		}
		return &withHint{err, "\"holdfast repo repair\" mends it from parity, as far as that reaches; else put it back from a copy of the repository"}
	}
	switch {
	case wrong && !isDamaged:
		return &withHint{err, origin}
	case wrong:
		return &withHint{err, origin + "; " + fmt.Sprintf("or, if it is that of a damaged slot, "+copyBack, "the slot")}
	case without:
		return &withHint{err, fmt.Sprintf(copyBack, "keys/")}
	case isDamaged && damaged.Object != "config":
		return &withHint{err, fmt.Sprintf(copyBack, damaged.Object)}
	}
	return &withHint{err, fmt.Sprintf(copyBack, "config")}
}

func amissText(amiss []repair.Mended) string {
	var all []string
	for _, m := range amiss {
		what := " is damaged"
		if m.Gone {
			what = " is missing"
		}
		all = append(all, m.Object+what)
	}
	return strings.Join(all, ", ")
}
