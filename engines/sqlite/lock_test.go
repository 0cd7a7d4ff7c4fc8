package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// However many come and go, removing the file behind them, one holds the lock.
func TestLockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders, held atomic.Int64
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			for range 300 {
				l, err := acquire(path)
				if errors.Is(err, errLocked) {
					continue
				}
				if err != nil {
					return err
				}
				if holders.Add(1) != 1 {
					return errors.New("two hold the lock")
				}
				held.Add(1)
				holders.Add(-1)
				if err := l.release(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if held.Load() < 8 {
		t.Errorf("the lock was held %d times", held.Load())
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

func TestLockOfADeadProcessIsFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
}
