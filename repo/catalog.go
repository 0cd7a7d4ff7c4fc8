package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/index"
)

// Catalog is the whole index at one moment, merged into one file of this machine,
// for a walk over everything: what is known of a blob is kept by the place of its
// first row.
type Catalog struct {
	*index.Copy
	// Packs are those that the index names, by Row.Pack.
	Packs []index.Pack
	// Bad are segments that cannot be read, by object: what they told is missing.
	Bad map[string]error
}

// Catalog reads the index as it is now. The caller closes it.
func (r *Repository) Catalog(ctx context.Context) (*Catalog, error) {
	return ListedAnew(func() (*Catalog, error) { return r.catalog(ctx) })
}

func (r *Repository) catalog(ctx context.Context) (c *Catalog, err error) {
	c = &Catalog{Bad: map[string]error{}}
	segments, err := r.allSegments(ctx, c.Bad)
	if err != nil {
		return nil, err
	}
	if c.Copy, err = r.merge(ctx, segments); err != nil {
		return nil, err
	}
	if c.Packs, err = c.Copy.Packs(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// merge writes the segments into one file of this machine: in the cache directory, and
// where that is missing, full or not to be written to, where temporary files are, or in shared memory. Whoever
// gives space back must not depend on the disk that is full.
func (r *Repository) merge(ctx context.Context, segments map[index.SegmentName]*index.Segment) (*index.Copy, error) {
	var unusable error
	if dir := r.cacheDir(); dir != "" {
		merged, err := index.Temporary(ctx, filepath.Join(filepath.Dir(dir), "catalog"), segments)
		if !isUnusable(err) {
			return merged, err
		}
		unusable = err
	}
	for _, place := range []string{os.TempDir(), "/dev/shm"} {
		merged, err := mergeAside(ctx, place, segments)
		if !isUnusable(err) {
			return merged, err
		}
		unusable = errors.Join(unusable, err)
	}
	return nil, unusable
}

// mergeAside merges in a directory of its own, which nobody needs once the file is open.
func mergeAside(ctx context.Context, place string, segments map[index.SegmentName]*index.Segment) (merged *index.Copy, err error) {
	dir, err := os.MkdirTemp(place, "holdfast-catalog-")
	if err != nil {
		return nil, fmt.Errorf("make room for the index: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return index.Temporary(ctx, dir, segments)
}

// isUnusable reports whether a directory could not be written to.
func isUnusable(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission)
}
