package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/klauspost/reedsolomon"

	"holdfast/internal/blake3"
	"holdfast/internal/storage"
)

// Damaged is a member that is not as it was.
type Damaged struct {
	Member
	Missing bool
	Blocks  int    // that were lost
	Data    []byte // what could be computed again; only while it is told
	Whole   bool   // Data is all of it; else some blocks are as they were found, or zero
}

// Found is what looking at a group's bytes has shown.
type Found struct {
	Damaged []Damaged
	Parity  int   // parity blocks that are lost, and copies of what describes the group
	Read    int64 // bytes
}

// looker looks at one group.
type looker struct {
	*Group
	store   storage.Storage
	object  string
	bad     []bool // by block
	parity  []bool
	found   Found
	rebuilt map[int][]byte // by block
}

// Examine reads all members and the parity, computes again what is lost of the
// members, and tells each damaged one, with its data. It changes nothing, and takes
// as much memory as is lost and one member.
func (g *Group) Examine(ctx context.Context, store storage.Storage, object string, tell func(Damaged) error) (Found, error) {
	l := &looker{Group: g, store: store, object: object, bad: make([]bool, len(g.blocks)), parity: make([]bool, len(g.parity)),
		rebuilt: map[int][]byte{}}
	for i := range g.Members {
		if err := l.member(ctx, i); err != nil {
			return l.found, err
		}
	}
	if err := l.lookAtParity(ctx); err != nil {
		return l.found, err
	}
	if len(l.found.Damaged) == 0 {
		return l.found, nil
	}
	if err := l.rebuild(ctx); err != nil {
		return l.found, err
	}
	for i := range l.found.Damaged {
		d := &l.found.Damaged[i]
		if err := l.assemble(ctx, d); err != nil {
			return l.found, err
		}
		if err := tell(*d); err != nil {
			return l.found, err
		}
		d.Data = nil
	}
	return l.found, nil
}

// BadParity reads the parity alone, and returns how many blocks of it are lost.
func (g *Group) BadParity(ctx context.Context, store storage.Storage, object string) (int, error) {
	l := &looker{Group: g, store: store, object: object, parity: make([]bool, len(g.parity))}
	err := l.lookAtParity(ctx)
	return l.found.Parity, err
}

// member finds the bad blocks of a member.
func (l *looker) member(ctx context.Context, i int) error {
	m := l.Members[i]
	d := Damaged{Member: m}
	info, err := l.store.Stat(ctx, m.Name)
	if errors.Is(err, fs.ErrNotExist) {
		d.Missing = true
	} else if err != nil {
		return err
	}
	damaged := d.Missing || info.Size != m.Size
	buffer := make([]byte, l.Block)
	for b := l.first[i]; b < l.first[i+1]; b++ {
		data, err := l.read(ctx, buffer, i, b)
		if err != nil {
			return err
		}
		if data == nil || sumOf(data) != l.blocks[b] {
			l.bad[b], damaged = true, true
			d.Blocks++
		}
	}
	if damaged {
		l.found.Damaged = append(l.found.Damaged, d)
	}
	return nil
}

// read returns a block as it is, without padding; nil where it is not there whole.
// A block that the storage cannot read is lost like one that has vanished.
func (l *looker) read(ctx context.Context, buffer []byte, member, block int) ([]byte, error) {
	m := l.Members[member]
	off := int64(block-l.first[member]) * int64(l.Block)
	data := buffer[:min(int64(l.Block), m.Size-off)]
	n, err := l.store.ReadAt(ctx, m.Name, data, off)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.found.Read += int64(n)
	if n < len(data) || err != nil && err != io.EOF {
		return nil, nil
	}
	return data, nil
}

func (l *looker) lookAtParity(ctx context.Context) error {
	whole, err := l.described(ctx)
	if err != nil {
		return err
	}
	if !whole {
		l.found.Parity++
	}
	buffer := make([]byte, l.Block)
	for i := range l.Group.parity {
		if err := l.readParity(ctx, buffer, i); err != nil {
			return err
		}
		if l.parity[i] {
			l.found.Parity++
		}
	}
	return nil
}

// described reports whether the object is as long as it must be, and describes the
// group at both its ends.
func (l *looker) described(ctx context.Context) (bool, error) {
	info, err := l.store.Stat(ctx, l.object)
	if err != nil || info.Size != l.Size() {
		return false, err
	}
	table := l.table()
	end := l.end(table)
	first, last := make([]byte, len(table)), make([]byte, len(end))
	for _, part := range []struct {
		read, want []byte
		off        int64
	}{{first, table, 0}, {last, end, l.Size() - int64(len(end))}} {
		n, err := l.store.ReadAt(ctx, l.object, part.read, part.off)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if n < len(part.read) || err != nil && err != io.EOF || !bytes.Equal(part.read, part.want) {
			return false, nil
		}
	}
	return true, nil
}

// readParity fills buffer with a parity block, or notes that it is lost.
func (l *looker) readParity(ctx context.Context, buffer []byte, i int) error {
	n, err := l.store.ReadAt(ctx, l.object, buffer, l.base+int64(i)*int64(l.Block))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.found.Read += int64(n)
	l.parity[i] = n < len(buffer) || err != nil && err != io.EOF || sumOf(buffer) != l.Group.parity[i]
	return nil
}

// rebuild computes the bad blocks of every stripe that has lost no more than it
// can bear.
func (l *looker) rebuild(ctx context.Context) error {
	coder, err := reedsolomon.New(l.Data, l.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return fmt.Errorf("rebuild by %s: %w", l.object, err)
	}
	for s := range l.Stripes {
		shards, bad, err := l.stripe(ctx, s)
		if err != nil {
			return err
		}
		if len(bad) == 0 || shards == nil {
			continue
		}
		if err := coder.ReconstructData(shards); err != nil {
			return fmt.Errorf("rebuild by %s: %w", l.object, err)
		}
		for _, b := range bad {
			_, number := l.place(b)
			l.rebuilt[b] = shards[number]
		}
	}
	return nil
}

// stripe reads what is left of a stripe that has lost data. It is nil where too
// much is lost.
func (l *looker) stripe(ctx context.Context, s int) (shards [][]byte, bad []int, err error) {
	lost := 0
	for b := s; b < len(l.blocks); b += l.Stripes {
		if l.bad[b] {
			bad = append(bad, b)
		}
	}
	for i := range l.Parity {
		if l.parity[s*l.Parity+i] {
			lost++
		}
	}
	if len(bad) == 0 || len(bad)+lost > l.Parity {
		return nil, bad, nil
	}
	shards = make([][]byte, l.Data+l.Parity)
	for number := range l.Data {
		b := number*l.Stripes + s
		if b < len(l.blocks) && l.bad[b] {
			continue
		}
		shards[number] = make([]byte, l.Block) // zero behind the last block
		if b < len(l.blocks) {
			data, err := l.read(ctx, shards[number], l.memberOf(b), b)
			if err != nil {
				return nil, nil, err
			}
			if data == nil || sumOf(data) != l.blocks[b] {
				return nil, bad, nil // it has changed since
			}
		}
	}
	for i := range l.Parity {
		if at := s*l.Parity + i; !l.parity[at] {
			block := make([]byte, l.Block)
			if err := l.readParity(ctx, block, at); err != nil {
				return nil, nil, err
			}
			shards[l.Data+i] = block
		}
	}
	return shards, bad, nil
}

func (l *looker) memberOf(block int) int {
	at, found := slices.BinarySearch(l.first, block)
	if !found {
		return at - 1
	}
	for l.first[at+1] == block { // members without a block
		at++
	}
	return at
}

// assemble puts a member together, as far as it can be, and finds out whether that
// is all of it.
func (l *looker) assemble(ctx context.Context, d *Damaged) error {
	i := slices.IndexFunc(l.Members, func(m Member) bool { return m.Name == d.Name })
	data := make([]byte, d.Size)
	for b := l.first[i]; b < l.first[i+1]; b++ {
		off := int64(b-l.first[i]) * int64(l.Block)
		part := data[off:min(off+int64(l.Block), d.Size)]
		if block, ok := l.rebuilt[b]; ok {
			copy(part, block)
		} else if _, err := l.read(ctx, part, i, b); err != nil {
			return err
		}
	}
	d.Data, d.Whole = data, blake3.Sum256(data) == d.Hash
	return nil
}
