package redis

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// sortMemory bounds what is held to be sorted, in bytes: records with what it takes
// to sort them. A single larger record is held nevertheless.
const sortMemory = 256 << 20

var encodedMark = appendString(nil, []byte(markKey))

// scopeKey is what a dump's scope is called in it: a number, or scopeAll.
const scopeKey, scopeAll = "holdfast-scope", "all"

// layout makes of a dump one in an order of its own, with all left out that
// changes by itself: an io.Reader of
//
//	header; version of the server; scope; libraries of functions, sorted
//	runs of keys, each sorted by database and key
//	end; checksum
//
// Everything fits in one run, unless there is more than memory for it.
type layout struct {
	from   io.Reader
	finish func(rest io.Reader) error // reads what follows the dump
	in     *decoder
	// choose says as which database one goes into the new dump, if at all.
	choose func(database int) (as int, ok bool)
	scope  string
	memory int64
	// own, if set, are libraries of functions that stand in place of the dump's.
	own bool

	head      []byte // of the new dump: all that stands before the keys
	functions [][]byte
	dropped   int      // functions
	modules   [][]byte // ids of those that keep something beside the keys
	lost      bool     // the dump broke off

	run      run
	ended    bool          // the old dump
	ahead    chan struct{} // closed when the first run was read
	aheadErr error
	out      []byte // not yet read
	at       int    // in run
	current  int    // database of the record before
	sum      uint64
	err      error // io.EOF at the end
}

// run is what is sorted at a time.
type run struct {
	items []item
	slab  []byte // where the next record goes
	size  int64
}

// item is one record as it stands in a dump.
type item struct {
	record   []byte
	from, to uint32 // the key in it
	database uint32
}

const (
	itemSize = 40
	slabSize = 1 << 20
)

func newLayout(from io.Reader, finish func(io.Reader) error, scope string, choose func(int) (int, bool)) *layout {
	return &layout{from: from, finish: finish, choose: choose, scope: scope, memory: sortMemory, current: -1}
}

// readAhead begins to read, as far as memory goes, in a goroutine that ends when
// the dump does or its reader fails. It is joined by the first Read, or by wait.
func (l *layout) readAhead() {
	begun := make(chan struct{})
	l.ahead = begun
	go func() {
		defer close(begun)
		l.aheadErr = l.begin()
	}()
}

// wait joins what readAhead began.
func (l *layout) wait() {
	if l.ahead != nil {
		<-l.ahead
		l.ahead = nil
	}
}

// wholeWithin waits for all to be read, and reports whether it was.
func (l *layout) wholeWithin(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	case <-l.ahead:
		return l.aheadErr == nil && l.ended
	}
}

// isEmpty reports, once all is read, whether no key is in the new dump.
func (l *layout) isEmpty() bool { return l.current < 0 }

// begin reads the first run.
func (l *layout) begin() (err error) {
	if l.in, err = newDecoder(l.from); err != nil {
		l.lost = true
		return err
	}
	l.head = l.in.header()
	if err := l.fill(); err != nil {
		return err
	}
	l.assign(scopeKey, l.databases())
	slices.SortFunc(l.functions, bytes.Compare)
	for _, f := range l.functions {
		l.head = append(append(l.head, opFunction), f...)
	}
	return nil
}

// databases is the value of scopeKey: the number of the one database, or scopeAll
// with the numbers of those in the first run.
func (l *layout) databases() string {
	value := l.scope
	last := -1
	for _, i := range l.run.items {
		if n := int(i.database); l.scope == scopeAll && n != last {
			value += fmt.Sprintf(" %d", n)
			last = n
		}
	}
	return value
}

func (l *layout) assign(key, value string) {
	l.head = append(l.head, opAux)
	l.head = appendString(appendString(l.head, []byte(key)), []byte(value))
}

// fill reads and sorts one run.
func (l *layout) fill() error {
	l.run = run{items: l.run.items[:0]}
	for !l.ended && l.run.size < l.memory {
		r, err := l.in.next()
		if err != nil {
			l.lost = true
			return err
		}
		switch r.code {
		case opEnd:
			if err := l.finish(l.in.r); err != nil {
				l.lost = true
				return err
			}
			l.ended = true
		case opAux:
			// Of all that a server notes, its version alone is worth keeping.
			if key, err := text(r.key); err == nil && (string(key) == "redis-ver" || string(key) == "valkey-ver") {
				value, err := text(r.value)
				if err != nil {
					return err
				}
				l.assign(string(key), string(value))
			}
		case opFunction:
			if l.run.size += int64(len(r.value)); len(l.run.items) > 0 {
				return fmt.Errorf("functions behind keys: %w", errDump)
			}
			if l.own {
				l.dropped++
			} else {
				l.functions = append(l.functions, bytes.Clone(r.value))
			}
		case opModuleAux:
			l.modules = append(l.modules, bytes.Clone(r.value[:min(len(r.value), 9)]))
		case keyRecord:
			if as, ok := l.choose(r.database); ok && !bytes.Equal(r.key, encodedMark) {
				l.run.add(r, as)
			}
		}
	}
	l.at = 0
	slices.SortFunc(l.run.items, func(a, b item) int {
		if c := cmp.Compare(a.database, b.database); c != 0 {
			return c
		}
		return bytes.Compare(a.record[a.from:a.to], b.record[b.from:b.to])
	})
	return nil
}

// add copies a record.
func (u *run) add(r record, database int) {
	size := 1 + len(r.key) + len(r.value)
	if r.expires > 0 {
		size += 9
	}
	if size > cap(u.slab)-len(u.slab) {
		u.slab = make([]byte, 0, max(size, slabSize))
		u.size += int64(cap(u.slab))
	}
	begin := len(u.slab)
	if r.expires > 0 {
		u.slab = binary.LittleEndian.AppendUint64(append(u.slab, opExpireMS), r.expires)
	}
	u.slab = append(u.slab, r.kind)
	from := len(u.slab) - begin
	u.slab = append(append(u.slab, r.key...), r.value...)
	u.items = append(u.items, item{record: u.slab[begin:len(u.slab):len(u.slab)],
		from: uint32(from), to: uint32(from + len(r.key)), database: uint32(database)})
	u.size += itemSize
}

// Read implements io.Reader.
func (l *layout) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(l.out) == 0 {
			if l.err == nil {
				l.err = l.advance()
			}
			if l.err != nil {
				break
			}
			l.sum = checksum(l.sum, l.out)
		}
		part := copy(p[n:], l.out)
		l.out = l.out[part:]
		n += part
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

// advance gives the next piece out.
func (l *layout) advance() error {
	switch {
	case l.ahead != nil || l.head == nil:
		var err error
		if l.ahead == nil {
			err = l.begin()
		} else {
			<-l.ahead
			err = l.aheadErr
		}
		l.ahead = nil
		l.out = l.head
		return err
	case l.at < len(l.run.items):
		i := l.run.items[l.at]
		if int(i.database) != l.current {
			l.current = int(i.database)
			l.out = appendLength([]byte{opSelect}, uint64(i.database))
			return nil
		}
		l.run.items[l.at].record = nil
		l.at++
		l.out = i.record
		return nil
	case !l.ended:
		return l.fill()
	case l.in != nil:
		l.in = nil
		l.sum = checksum(l.sum, []byte{opEnd})
		l.out = binary.LittleEndian.AppendUint64([]byte{opEnd}, l.sum)
		return nil
	}
	return io.EOF
}

// whole reports whether all was read.
func (l *layout) whole() bool { return errors.Is(l.err, io.EOF) }
