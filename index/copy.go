package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
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

// Has reports whether the copy knows a copy of the blob. It allocates nothing.
// An error is ErrNoCopy, or fs.ErrClosed.
func (c *Copy) Has(id blob.ID) (has bool, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	raw, _, err := c.search(&id)
	gone := c.gone.Load()
	if gone == nil || err != nil {
		return len(raw) > 0, err
	}
	for ; len(raw) > 0; raw = raw[rowSize:] {
		var r row
		if err := r.parse(raw); err != nil {
			return false, wrongRow(err)
		}
		if int(r.pack) < len(*gone) && !(*gone)[r.pack] {
			return true, nil
		}
	}
	return false, nil
}

// Restrict lets Has, Lookup, Packs and All know from now on only what lies in some
// packs. A Copy goes on being of use that way when segments in it were replaced by
// others, which name fewer packs.
func (c *Copy) Restrict(to func(Pack) bool) error {
	c.gone.Store(nil)
	packs, err := c.Packs()
	if err != nil {
		return err
	}
	gone := make([]bool, len(packs))
	for i, p := range packs {
		gone[i] = !to(p)
	}
	c.gone.Store(&gone)
	return nil
}

// Lookup returns the copies of a blob, lowest depth first; none if none is known.
// An error is ErrNoCopy, or fs.ErrClosed.
func (c *Copy) Lookup(id blob.ID) (entries []Entry, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	raw, s, err := c.search(&id)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	return c.parse(s, raw)
}

func (c *Copy) search(id *blob.ID) ([]byte, *shard, error) {
	if c.db == nil {
		return nil, nil, fs.ErrClosed
	}
	s, sp := c.spanOf(id)
	_, raw, err := search(s, sp, id, nil)
	return raw, s, err
}

// spanOf returns the shard in which an id can be, and where in it.
func (c *Copy) spanOf(id *blob.ID) (*shard, span) {
	prefix := int(id[0]) >> (8 - c.bits)
	s := &c.shards[prefix]
	sp := span{hi: s.length}
	sp.lowKey, sp.highKey = keysOf(prefix, c.bits)
	return s, sp
}

// rows implements table.
func (s *shard) rows(from, to int, _ []byte) ([]byte, error) {
	return s.bytes(from*rowSize, (to-from)*rowSize)
}

func (c *Copy) entry(s *shard, raw []byte) (Entry, error) {
	var r row
	if err := r.parse(raw); err != nil {
		return Entry{}, wrongRow(err)
	}
	record, err := c.packs.bytes(int(r.pack)*packSize, packSize)
	if err != nil {
		return Entry{}, err
	}
	var p Pack
	if err := p.parse(record); err != nil {
		return Entry{}, wrongRow(err)
	}
	e, err := r.entry(p)
	if err != nil {
		return Entry{}, wrongRow(err)
	}
	if r.bases > 0 {
		ids, err := s.bytes(s.length*rowSize+int(r.firstBase)*blob.Size, int(r.bases)*blob.Size)
		if err != nil {
			return Entry{}, err
		}
		e.Bases = parseIDs(ids)
	}
	return e, nil
}

// Packs returns the packs that hold the entries. An error is ErrNoCopy, or
// fs.ErrClosed.
func (c *Copy) Packs() (packs []Pack, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	if c.db == nil {
		return nil, fs.ErrClosed
	}
	records, err := c.packs.bytes(0, len(c.packs.data))
	if err != nil {
		return nil, err
	}
	packs = make([]Pack, len(records)/packSize)
	for i := range packs {
		if err := packs[i].parse(records[i*packSize:]); err != nil {
			return nil, wrongRow(err)
		}
	}
	if gone := c.gone.Load(); gone != nil {
		kept := packs[:0]
		for i, p := range packs {
			if !(*gone)[i] {
				kept = append(kept, p)
			}
		}
		packs = kept
	}
	return packs, nil
}

// All yields every entry, shard by shard, each sorted by id. The copy stays open
// until the walk ends; after an error nothing follows.
func (c *Copy) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		c.mu.RLock()
		defer c.mu.RUnlock()
		if c.db == nil {
			yield(Entry{}, fs.ErrClosed)
			return
		}
		for i := range c.shards {
			s := &c.shards[i]
			for from := 0; from < s.length; from += window {
				entries, err := c.window(s, from)
				for _, e := range entries {
					if !yield(e, nil) {
						return
					}
				}
				if err != nil {
					yield(Entry{}, err)
					return
				}
			}
		}
	}
}

// window returns the entries of the rows from a place on, a window of them.
func (c *Copy) window(s *shard, from int) (entries []Entry, err error) {
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	raw, err := s.rows(from, min(from+window, s.length), nil)
	if err != nil {
		return nil, err
	}
	return c.parse(s, raw)
}

func (c *Copy) parse(s *shard, raw []byte) ([]Entry, error) {
	entries := make([]Entry, 0, len(raw)/rowSize)
	gone := c.gone.Load()
	for ; len(raw) > 0; raw = raw[rowSize:] {
		var r row
		if err := r.parse(raw); err != nil {
			return nil, wrongRow(err)
		}
		if gone != nil && int(r.pack) < len(*gone) && (*gone)[r.pack] {
			continue
		}
		e, err := c.entry(s, raw)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func wrongRow(err error) error { return fmt.Errorf("%w: %w", ErrNoCopy, err) }

// recoverFault makes a page of the mapped file that cannot be read an error. It is
// to be deferred.
func recoverFault(before bool, err *error) {
	debug.SetPanicOnFault(before)
	p := recover()
	if p == nil {
		return
	}
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(p)
	}
	*err = fmt.Errorf("%w: %w", ErrNoCopy, fault)
}
