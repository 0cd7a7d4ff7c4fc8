package repair

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/index"
	"holdfast/repo"
)

// onlyThere reports whether nothing that stays can take the place of a copy in a pack that a
// collection deletes next: it has decided so before it was known that what it had copied
// out, or relied on, is lost.
func (m *mender) onlyThere(e *index.Entry) bool {
	staying := m.repo.NewSurvey(func(e *index.Entry) error {
		if m.session != nil && e.Pack.Session == m.session.Name {
			return nil
		}
		return m.unreliable(e)
	})
	why, err := staying.Replaceable(e.ID, e.Depth)
	return why != nil || err != nil
}

// rescue stores once more, whole, what would go with its pack. What survey cannot read is
// a difference from what is lost, and lost with that: its snapshots say so already.
func (m *mender) rescue(ctx context.Context, survey *repo.Survey) error {
	if m.options.DryRun || len(m.packs.endangered) == 0 {
		return nil
	}
	return m.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		for _, e := range slices.Collect(maps.Values(m.packs.endangered)) { // looking may add to them
			if why, err := survey.Readable(e.ID); err != nil {
				return err
			} else if why != nil {
				continue
			}
			if err := w.Whole(ctx, &e, false); err != nil {
				return fmt.Errorf("save what a collection is about to delete: %w", err)
			}
		}
		return nil
	})
}
