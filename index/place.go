package index

import (
	"io/fs"
	"iter"
	"runtime/debug"
	"sort"

	"holdfast/internal/blob"
)

// Row is what a Copy tells of one copy of a blob without looking anything up. Its
// place is its number among all rows of the Copy, from 0, in the order of ids: a
// walk over a whole repository keeps bits by place, and never a map of ids.
type Row struct {
	ID     blob.ID
	Pack   int    // its place in what Packs returns
	Sealed uint32 // bytes
	Length uint32 // bytes
	Depth  uint8
	Bases  uint8 // how many
}

// Find returns the places of the blob's copies, from (inclusive) to (exclusive),
// lowest depth first, at most 64 of them; from is to if it has none. An error is
// ErrNoCopy, or fs.ErrClosed.
func (c *Copy) Find(id blob.ID) (from, to int, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	if c.db == nil {
		return 0, 0, fs.ErrClosed
	}
	s, sp := c.spanOf(&id)
	at, raw, err := search(s, sp, &id, nil)
	if err != nil || len(raw) == 0 {
		return 0, 0, err
	}
	from = s.first + at
	return from, from + len(raw)/rowSize, nil
}

// RowAt returns the row at a place below Len. An error is ErrNoCopy, or
// fs.ErrClosed.
func (c *Copy) RowAt(place int) (r Row, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	if c.db == nil {
		return r, fs.ErrClosed
	}
	s := c.shardOf(place)
	raw, err := s.rows(place-s.first, place-s.first+1, nil)
	if err != nil {
		return r, err
	}
	return rowOf(raw)
}

// EntryAt returns all that the row at a place below Len says. An error is
// ErrNoCopy, or fs.ErrClosed.
func (c *Copy) EntryAt(place int) (e Entry, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	if c.db == nil {
		return e, fs.ErrClosed
	}
	s := c.shardOf(place)
	raw, err := s.rows(place-s.first, place-s.first+1, nil)
	if err != nil {
		return e, err
	}
	return c.entry(s, raw)
}

// Rows yields every row in the order of places; after an error nothing follows.
func (c *Copy) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for from := 0; from < int(c.entries); {
			rows, err := c.rowsFrom(from)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for i := range rows {
				if !yield(rows[i], nil) {
					return
				}
			}
			from += len(rows)
		}
	}
}

// rowsFrom returns the rows of one shard from a place on, a window of them at most.
func (c *Copy) rowsFrom(place int) (rows []Row, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	if c.db == nil {
		return nil, fs.ErrClosed
	}
	s := c.shardOf(place)
	from := place - s.first
	raw, err := s.rows(from, min(from+window, s.length), nil)
	if err != nil {
		return nil, err
	}
	rows = make([]Row, len(raw)/rowSize)
	for i := range rows {
		if rows[i], err = rowOf(raw[i*rowSize:]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (c *Copy) shardOf(place int) *shard {
	i := sort.Search(len(c.shards), func(i int) bool { return c.shards[i].first > place })
	return &c.shards[i-1]
}

func rowOf(raw []byte) (Row, error) {
	var r row
	if err := r.parse(raw); err != nil {
		return Row{}, wrongRow(err)
	}
	return Row{ID: r.id, Pack: int(r.pack), Sealed: r.sealed, Length: r.length, Depth: r.depth, Bases: r.bases}, nil
}
