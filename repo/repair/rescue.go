package repair

import (
	"context"
	"fmt"

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

// rescue stores once more, whole, what would go with its pack.
func (m *mender) rescue(ctx context.Context) error {
	if m.options.DryRun || len(m.packs.endangered) == 0 {
		return nil
	}
	return m.session.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		for _, e := range m.packs.endangered {
			if err := w.Whole(ctx, &e, false); err != nil {
				return fmt.Errorf("save what a collection is about to delete: %w", err)
			}
		}
		return nil
	})
}
