// Package disk looks at the directory trees that are backed up, stored and
// restored: how large they are, whether two hold the same, where their files have
// holes. Holes are never read, so an image of 20 GB costs what it holds.
package disk

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A Size is that of a directory tree, in file lengths.
type Size struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Measure counts the files below dir and their lengths.
func Measure(dir string) (Size, error) {
	var total Size
	err := walk(dir, func(_ string, entry fs.DirEntry) error {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total.Files++
		total.Bytes += info.Size()
		return nil
	})
	return total, err
}

// Sync returns when all that was written to the file system of dir is on the disk.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// Warm reads all files below dir, so that they are in the page cache.
func Warm(ctx context.Context, dir string) error {
	buffer := make([][]byte, runtime.GOMAXPROCS(0))
	return each(ctx, dir, func(_ string, file *os.File, worker int) error {
		if buffer[worker] == nil {
			buffer[worker] = make([]byte, block)
		}
		all, err := extents(file)
		if err != nil {
			return err
		}
		for _, e := range all {
			section := io.NewSectionReader(file, e.Start, e.End-e.Start)
			for err == nil {
				_, err = section.Read(buffer[worker])
			}
			if err != io.EOF {
				return err
			}
		}
		return nil
	})
}

// walk calls do for every regular file below dir.
func walk(dir string, do func(path string, entry fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return do(path, entry)
	})
}

// each opens every regular file below dir, on all cores, and calls do with its
// path and which worker it is.
func each(ctx context.Context, dir string, do func(path string, file *os.File, worker int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	paths := make(chan string, 1000)
	for worker := range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for path := range paths {
				file, err := os.Open(path)
				if err != nil {
					return err
				}
				err = do(path, file, worker)
				file.Close()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(paths)
		return walk(dir, func(path string, _ fs.DirEntry) error {
			select {
			case paths <- path:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	return group.Wait()
}
