package index

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// shardTarget is how many bytes of rows a shard has at least before there are
// more of them.
const shardTarget = 1 << 20

// Build writes the local copy of segments into a directory, which it makes if it
// must, and renames it into place. Whoever reads the copy before keeps it.
//
// Each segment is read once, from beginning to end; in memory there is, several
// times, one shard at a time: a 64th of all entries once there are a million.
// Segments that others supersede count as contained, but their entries do not.
func Build(ctx context.Context, dir string, segments map[SegmentName]*Segment) error {
	return publishCopy(ctx, dir, sortedNames(segments), sourcesOf(Current(segments)))
}

// Temporary is Build for one use: the file is gone from the directory when
// Temporary returns, and from the disk when the Copy is closed.
func Temporary(ctx context.Context, dir string, segments map[SegmentName]*Segment) (c *Copy, err error) {
	err = buildCopy(ctx, dir, sortedNames(segments), sourcesOf(Current(segments)), func(path string) error {
		c, err = Open(filepath.Dir(path))
		return err
	})
	if err != nil && c != nil {
		err = errors.Join(err, c.Close())
	}
	return c, err
}

// Extend is Build for the segments of an open copy and newer ones, and need not
// read the old ones again. It is ErrNoCopy if a newer one supersedes an old one:
// then only Build can tell what is left.
func Extend(ctx context.Context, dir string, base *Copy, newer map[SegmentName]*Segment) error {
	names := sortedNames(newer)
	for _, name := range names {
		for _, old := range newer[name].superseded {
			if base.Contains(old) {
				return fmt.Errorf("extend the local copy of the index: %s supersedes a part of it: %w", ObjectName(name), ErrNoCopy)
			}
		}
	}
	sources := append(sourcesOf(Current(newer)), source{"the copy before", base.entries, base.All()})
	return publishCopy(ctx, dir, mergeNames(base.segments, names), sources)
}

// source is some of the entries that go into a copy.
type source struct {
	name    string
	length  uint64
	entries iter.Seq2[Entry, error]
}

func sourcesOf(segments map[SegmentName]*Segment) []source {
	var sources []source
	for _, name := range sortedNames(segments) {
		s := segments[name]
		sources = append(sources, source{ObjectName(name), uint64(s.Len()), s.All()})
	}
	return sources
}

// publishCopy builds a copy and puts it into its place in dir.
func publishCopy(ctx context.Context, dir string, names []SegmentName, sources []source) error {
	return buildCopy(ctx, dir, names, sources, func(path string) error {
		return os.Rename(path, filepath.Join(dir, copyFile))
	})
}

// buildCopy builds a copy beside dir's and hands its path to take, after which the
// file is removed.
func buildCopy(ctx context.Context, dir string, names []SegmentName, sources []source, take func(path string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("build the local copy of the index: %w", err)
		}
	}()
	beside, err := buildDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, beside.remove()) }()

	spills, err := newSpills(beside.path, shardBits(sources))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spills.close()) }()
	for _, s := range sources {
		if err := spills.addAll(ctx, s.entries); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	path := filepath.Join(beside.path, copyFile)
	if err := writeCopy(ctx, path, names, spills); err != nil {
		return err
	}
	return take(path)
}

func shardBits(sources []source) int {
	var entries uint64
	for _, s := range sources {
		entries += s.length
	}
	bits := 0
	for bits < maxShardBits && entries*rowSize>>(bits+1) >= shardTarget {
		bits++
	}
	return bits
}

func writeCopy(ctx context.Context, path string, names []SegmentName, spills *spills) error {
	s, err := writeDatabase(ctx, path, names, spills)
	if err != nil {
		return err
	}
	return s.append(path)
}

// writeDatabase writes the database, one shard per transaction.
func writeDatabase(ctx context.Context, path string, names []SegmentName, spills *spills) (s structure, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Second, NoSync: true, NoGrowSync: true, NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var entries uint64
	for i := range spills.files {
		if err := ctx.Err(); err != nil {
			return s, context.Cause(ctx)
		}
		rows, n, err := spills.shard(i)
		if err != nil {
			return s, err
		}
		entries += uint64(n)
		if err := putAll(db, shardBucket(i), map[string][]byte{string(rowsKey): rows}); err != nil {
			return s, err
		}
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(spills.bits))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(spills.places)))
	head = binary.LittleEndian.AppendUint64(head, entries)
	var segments []byte
	for _, name := range names {
		segments = append(segments, name[:]...)
	}
	err = putAll(db, copyBucket, map[string][]byte{
		string(headKey): head, string(segmentsKey): segments, string(packsKey): spills.packs,
	})
	if err != nil {
		return s, err
	}
	return structureOf(db)
}

func putAll(db *bbolt.DB, bucket []byte, values map[string][]byte) error {
	return db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		if err != nil {
			return err
		}
		for key, value := range values {
			if err := b.Put([]byte(key), appendChecks(value)); err != nil {
				return err
			}
		}
		return nil
	})
}

// workDir is a directory of one build, locked for as long as its process lives.
type workDir struct {
	path string
	lock *os.File
}

const buildPrefix = "build-"

// buildDir makes a directory for a build, after it has removed what killed builds
// have left behind.
func buildDir(dir string) (*workDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(dir, buildPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		w, err := lockDir(path)
		if err != nil {
			continue // at work, or gone
		}
		if err := w.remove(); err != nil {
			return nil, err
		}
	}
	return newDir(dir)
}

// newDir makes a directory and locks it, once more if another build took it for left
// behind in between.
func newDir(dir string) (*workDir, error) {
	for {
		path, err := os.MkdirTemp(dir, buildPrefix+"*")
		if err != nil {
			return nil, err
		}
		w, err := lockDir(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EWOULDBLOCK):
			continue
		case err != nil:
			return nil, err
		}
		if _, err := os.Stat(path); err == nil {
			return w, nil // and stays, being locked
		}
		if err := w.lock.Close(); err != nil {
			return nil, err
		}
	}
}

func lockDir(path string) (*workDir, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return &workDir{path, f}, nil
}

func (w *workDir) remove() error {
	return errors.Join(os.RemoveAll(w.path), w.lock.Close())
}
