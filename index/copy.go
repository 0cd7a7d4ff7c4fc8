package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"holdfast/internal/blob"
)

// ErrNoCopy: there is no local copy of the index that can be used; it is to be
// built. It is an fs.ErrNotExist.
var ErrNoCopy = fmt.Errorf("no usable local copy of the index: %w", fs.ErrNotExist)

// The file is a bbolt database. In the bucket "copy" stand the head (below), the
// names of the segments and the pack records; each bucket "rows…" has the rows of
// the ids that begin with the same bits (a shard), in the layout of a segment's
// rows and base ids. Every value ends with checksums (checked.go), and so does the
// file (structure.go).
const (
	copyFile = "index.bolt"

	headSize     = 16 // u32 bits, u32 packs, u64 entries
	shardEnd     = 8  // u32 rows, u32 base ids
	maxShardBits = 6
)

var (
	copyBucket  = []byte("copy")
	headKey     = []byte("head")
	segmentsKey = []byte("segments")
	packsKey    = []byte("packs")
	rowsKey     = []byte("rows")
)

func shardBucket(i int) []byte { return fmt.Appendf(nil, "rows%02x", i) }

// Copy is the local copy of the index: the entries of many segments, merged, in a
// file that several processes may have open.
type Copy struct {
	mu       sync.RWMutex // held while the mapped file is read, so that Close waits
	db       *bbolt.DB    // nil once closed
	tx       *bbolt.Tx    // keeps what is below valid
	shards   []shard
	bits     int // first bits of an id, which choose the shard
	packs    checked
	entries  uint64
	segments []SegmentName
	gone     atomic.Pointer[[]bool] // packs that Has, Lookup, Packs and All leave out, by place; nil: none
}

// shard is the table of the ids that begin with the same bits.
type shard struct {
	checked
	length int // rows
	ids    int // base ids
	first  int // place of the first row among those of all shards
}

// Open opens the copy in a directory: ErrNoCopy where it is missing, damaged, of
// another layout, or cannot be read without waiting.
func Open(dir string) (*Copy, error) {
	path := filepath.Join(dir, copyFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoCopy
	}
	if err != nil {
		return nil, fmt.Errorf("open the local copy of the index: %w", err)
	}
	c, err := open(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), closeOnce(f))
	}
	return c, nil
}

func open(f *os.File) (*Copy, error) {
	if err := verifyStructure(f); err != nil {
		return nil, err
	}
	db, tx, err := beginRead(f)
	if err != nil {
		return nil, err
	}
	c := &Copy{db: db, tx: tx}
	if err := c.load(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// closeOnce closes f, unless bbolt has done so.
func closeOnce(f *os.File) error {
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}

// beginRead lets bbolt at the file, with one transaction that lasts as long.
func beginRead(f *os.File) (db *bbolt.DB, tx *bbolt.Tx, err error) {
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	db, err = bbolt.Open(f.Name(), 0, &bbolt.Options{
		ReadOnly: true,
		// Nobody ever locks a published file for writing; should somebody, it is as
		// if there were none, because a reader shall not wait.
		Timeout: time.Millisecond,
		// The very file whose structure was verified.
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoCopy, err)
	}
	if tx, err = db.Begin(false); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, tx, nil
}

func (c *Copy) load() (err error) {
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	head, err := c.whole(copyBucket, headKey)
	if err != nil {
		return err
	}
	if len(head) != headSize {
		return fmt.Errorf("%w: its head is wrong", ErrNoCopy)
	}
	c.bits = int(binary.LittleEndian.Uint32(head))
	packs := int64(binary.LittleEndian.Uint32(head[4:]))
	c.entries = binary.LittleEndian.Uint64(head[8:])
	names, err := c.whole(copyBucket, segmentsKey)
	if err != nil {
		return err
	}
	if c.packs, err = c.value(copyBucket, packsKey); err != nil {
		return err
	}
	if c.bits > maxShardBits || int64(len(c.packs.data)) != packs*packSize || len(names)%len(SegmentName{}) != 0 {
		return fmt.Errorf("%w: its head is wrong", ErrNoCopy)
	}
	for ; len(names) > 0; names = names[len(SegmentName{}):] {
		c.segments = append(c.segments, SegmentName(names))
	}
	c.shards = make([]shard, 1<<c.bits)
	rows := 0
	for i := range c.shards {
		if err := c.loadShard(i); err != nil {
			return err
		}
		c.shards[i].first = rows
		rows += c.shards[i].length
	}
	if uint64(rows) != c.entries {
		return fmt.Errorf("%w: %d rows, its head says %d", ErrNoCopy, rows, c.entries)
	}
	return nil
}

func (c *Copy) loadShard(i int) error {
	value, err := c.value(shardBucket(i), rowsKey)
	if err != nil {
		return err
	}
	s := &c.shards[i]
	s.checked = value
	end, err := s.bytes(len(s.data)-shardEnd, shardEnd)
	if err != nil {
		return err
	}
	s.length, s.ids = int(binary.LittleEndian.Uint32(end)), int(binary.LittleEndian.Uint32(end[4:]))
	if len(s.data) != s.length*rowSize+s.ids*blob.Size+shardEnd {
		return fmt.Errorf("%w: wrong length of a shard", ErrNoCopy)
	}
	return nil
}

// value returns a value, which stays valid until the copy is closed.
func (c *Copy) value(bucket, key []byte) (checked, error) {
	b := c.tx.Bucket(bucket)
	if b == nil {
		return checked{}, fmt.Errorf("%w: no bucket %s", ErrNoCopy, bucket)
	}
	return openChecked(b.Get(key))
}

func (c *Copy) whole(bucket, key []byte) ([]byte, error) {
	v, err := c.value(bucket, key)
	if err != nil {
		return nil, err
	}
	return v.bytes(0, len(v.data))
}

// Segments returns the names of the segments that the copy contains, sorted,
// superseded ones among them. The caller must not change them.
func (c *Copy) Segments() []SegmentName { return c.segments }

// Contains reports whether the copy contains a segment.
func (c *Copy) Contains(name SegmentName) bool {
	_, found := slices.BinarySearchFunc(c.segments, name, compareNames)
	return found
}

// Len returns the number of entries.
func (c *Copy) Len() uint64 { return c.entries }

// Close releases the file, once nobody reads it any more.
func (c *Copy) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.db == nil {
		return nil
	}
	err := errors.Join(c.tx.Rollback(), c.db.Close())
	c.db, c.tx, c.shards = nil, nil, nil
	return err
}
