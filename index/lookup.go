package index

import (
	"fmt"
	"io/fs"
	"iter"
	"runtime"
	"runtime/debug"

	"holdfast/internal/blob"
)

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
