package limit

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A found is a file of the corpus.
type found struct {
	path     string // relative
	size     int64
	modified time.Time
	sparse   bool // it has holes
}

// stat lists all files below root, directories in parallel.
func stat(ctx context.Context, root string) ([]found, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var lock sync.Mutex
	var files []found
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		var here []found
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if !entry.IsDir() {
				info, err := entry.Info()
				if err != nil {
					return err
				}
				sparse := info.Sys().(*syscall.Stat_t).Blocks*512 < info.Size()
				here = append(here, found{path, info.Size(), info.ModTime(), sparse})
			} else if !group.TryGo(func() error { return walk(path) }) {
				if err := walk(path); err != nil {
					return err
				}
			}
		}
		lock.Lock()
		defer lock.Unlock()
		files = append(files, here...)
		return ctx.Err()
	}
	group.Go(func() error { return walk(".") })
	err := group.Wait()
	return files, err
}
