package repo

import (
	"context"
	"errors"
	"fmt"
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
	if c.Segments, err = r.allSegments(ctx, 0, c.Bad); err != nil {
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
