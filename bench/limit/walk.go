package limit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
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
		here, below, err := list(filepath.Join(root, dir), dir)
		if err != nil {
			return err
		}
		for _, dir := range below {
			if !group.TryGo(func() error { return walk(dir) }) {
				if err := walk(dir); err != nil {
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

// list returns the files of one directory, and the directories in it, beneath the
// relative path dir. It asks for each file by its name alone, so that the system
// need not look up the path again.
func list(path, dir string) (here []found, below []string, err error) {
	open, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	entries, err := open.ReadDir(-1)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		relative := dir + "/" + entry.Name()
		if entry.IsDir() {
			below = append(below, relative)
			continue
		}
		var stat unix.Stat_t
		if err := unix.Fstatat(int(open.Fd()), entry.Name(), &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, nil, &os.PathError{Op: "stat", Path: relative, Err: err}
		}
		here = append(here, found{relative, stat.Size, time.Unix(stat.Mtim.Unix()), stat.Blocks*512 < stat.Size})
	}
	return here, below, nil
}
