package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/index"
)

// Catalog is the whole index at one moment, merged into one file of this machine,
// for a walk over everything: what is known of a blob is kept by the place of its
// first row.
type Catalog struct {
	*index.Copy
	// Packs are those that the index names, by Row.Pack.
	Packs []index.Pack
	// Segments are those that counted.
	Segments map[index.SegmentName]*index.Segment
	// Bad are segments that cannot be read, by object: what they told is missing.
	Bad map[string]error
}

// Catalog reads the index as it is now. The caller closes it.
func (r *Repository) Catalog(ctx context.Context) (c *Catalog, err error) {
	c = &Catalog{Bad: map[string]error{}}
	if c.Segments, err = r.readSegments(ctx, c.Bad); err != nil {
		return nil, err
	}
	dir := r.cacheDir()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "holdfast-catalog-"); err != nil {
			return nil, fmt.Errorf("make room for the index: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else {
		dir = filepath.Join(filepath.Dir(dir), "catalog")
	}
	if c.Copy, err = index.Temporary(ctx, dir, c.Segments); err != nil {
		return nil, err
	}
	if c.Packs, err = c.Copy.Packs(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// readSegments opens all segments that count, to be read through once, and files
// those that cannot be read under bad.
func (r *Repository) readSegments(ctx context.Context, bad map[string]error) (map[index.SegmentName]*index.Segment, error) {
	names, err := r.segmentNames(ctx)
	if err != nil {
		return nil, err
	}
	all := map[index.SegmentName]*index.Segment{}
	for n := range names {
		object := index.ObjectName(n)
		s, err := r.openSegmentBy(ctx, object, 0, index.OpenSegment)
		var damaged *DamagedError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// superseded and removed since it was listed
		case errors.As(err, &damaged):
			bad[object] = damaged.Err
		case err != nil:
			return nil, err
		default:
			all[n] = s
		}
	}
	return index.Current(all), nil
}
