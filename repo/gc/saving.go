package gc

import (
	"context"

	"holdfast/internal/blob"
	"holdfast/repo"
	"holdfast/repo/trace"
)

// Saving returns the bytes that only the snapshots in going need: what collections
// free, in the end, once these have been deleted and purged. It does not count
// bases that are kept for the others, nor what packs and index take besides.
func Saving(ctx context.Context, r *repo.Repository, staying, going []*repo.Snapshot) (uint64, error) {
	catalog, err := r.Catalog(ctx)
	if err != nil {
		return 0, err
	}
	defer catalog.Close()
	w := trace.New(r, catalog, whatIsLeft{})
	if err := walkAll(ctx, w, staying); err != nil {
		return 0, err
	}
	before := w.Reached().Clone()
	if err := walkAll(ctx, w, going); err != nil {
		return 0, err
	}
	var sum uint64
	for place := range w.Reached().All() {
		if before.Has(place) {
			continue
		}
		sealed, err := copiesOf(catalog, place)
		if err != nil {
			return 0, err
		}
		sum += sealed
	}
	return sum, nil
}

func walkAll(ctx context.Context, w *trace.Walker, snapshots []*repo.Snapshot) error {
	for _, s := range snapshots {
		if _, err := w.Walk(ctx, s.Root); err != nil {
			return err
		}
	}
	return nil
}

// copiesOf adds up all copies of the blob whose first one has this place.
func copiesOf(catalog *repo.Catalog, place int) (sealed uint64, err error) {
	row, err := catalog.RowAt(place)
	for id := row.ID; err == nil && row.ID == id; {
		sealed += uint64(row.Sealed)
		if place++; place == int(catalog.Len()) {
			break
		}
		row, err = catalog.RowAt(place)
	}
	return sealed, err
}

// whatIsLeft walks past what cannot be read: that frees nothing.
type whatIsLeft struct{}

func (whatIsLeft) Blob(_ trace.Where, _ blob.ID, from, to int) (bool, error) { return from < to, nil }
func (whatIsLeft) Unreadable(trace.Where, string, error) error               { return nil }
