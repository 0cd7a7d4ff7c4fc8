// Package parity makes, for a group of objects, blocks of which any that are lost
// of the objects can be computed again (Reed-Solomon), and does so.
//
//	objects, cut into blocks:   0 1 2 3 4 5 6 7 8 …         block b is in stripe b mod S
//	stripe s:                   s, s+S, s+2S, …  -> m parity blocks
//
// So what lies side by side is in different stripes: a damaged range takes one
// block of many stripes, and a whole object is not more than its share of each. As
// long as no stripe has lost more blocks than it has parity, all is computed again.
// Every block has a checksum, which tells what is lost, in the objects and in the
// parity alike.
//
// A group is one object (docs/format.md, 8). It knows nothing of what its members
// hold and needs no key: what opens a repository can be mended before it is open.
//
// Invariants:
//
//  1. A member of a group is there, or has been damaged: whoever removes an object
//     removes the groups that it is in before.
//  2. Nothing is put in place of a member but the bytes that were there when the group
//     was made.
package parity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"holdfast/internal/blake3"
	"holdfast/internal/storage"
)

// ErrDamaged: the object is no group, or both copies of what describes it are damaged.
var ErrDamaged = errors.New("damaged")

const (
	magic      = "HFPY"
	endMagic   = "HFPZ"
	version    = 1
	headSize   = 32
	sumSize    = 16 // of a block: the beginning of its BLAKE3
	hashSize   = 32
	endSize    = 8
	maxMembers = 1 << 16
	maxTable   = 64 << 20
	maxBlocks  = 1 << 21
)

// Member is an object of a group, as it was when the group was made.
type Member struct {
	Name string
	Size int64    // bytes
	Hash [32]byte // BLAKE3 of all of them
}

// Is reports whether the object is as it was.
func (m Member) Is(object []byte) bool {
	return int64(len(object)) == m.Size && blake3.Sum256(object) == m.Hash
}

// Group describes a group.
type Group struct {
	Shape
	Members []Member

	first  []int // block of each member, and behind the last
	blocks []sum // by block
	parity []sum // by stripe, then number
	base   int64 // of the parity blocks in the object
}

type sum [sumSize]byte

func sumOf(block []byte) sum {
	full := blake3.Sum256(block)
	return sum(full[:sumSize])
}

// newGroup counts the members' blocks.
func newGroup(shape Shape, members []Member) (*Group, error) {
	g := &Group{Shape: shape, Members: members}
	total := 0
	for _, m := range members {
		g.first = append(g.first, total)
		if total += shape.blocksOf(m.Size); total > maxBlocks {
			return nil, fmt.Errorf("%w: more than %d blocks", ErrDamaged, maxBlocks)
		}
	}
	g.first = append(g.first, total)
	if err := shape.validate(total); err != nil {
		return nil, err
	}
	g.blocks, g.parity = make([]sum, total), make([]sum, shape.Stripes*shape.Parity)
	g.base = int64(headSize + g.tableSize() + hashSize)
	return g, nil
}

// Bytes returns the length of all members.
func (g *Group) Bytes() (n int64) {
	for _, m := range g.Members {
		n += m.Size
	}
	return n
}

// Size returns the length of the group's object.
func (g *Group) Size() int64 {
	return 2*g.base + int64(len(g.parity)*g.Block) + endSize
}

func (g *Group) tableSize() int {
	n := (len(g.blocks) + len(g.parity)) * sumSize
	for _, m := range g.Members {
		n += 2 + len(m.Name) + 8 + hashSize
	}
	return n
}

// table is what describes the group: head, table, and their hash.
func (g *Group) table() []byte {
	data := make([]byte, 0, g.base)
	data = append(data, magic...)
	data = append(data, 0, version, 0, 0)
	for _, n := range [...]int{g.Block, g.Data, g.Parity, g.Stripes, len(g.Members), g.tableSize()} {
		data = binary.LittleEndian.AppendUint32(data, uint32(n))
	}
	for _, m := range g.Members {
		data = binary.LittleEndian.AppendUint16(data, uint16(len(m.Name)))
		data = append(data, m.Name...)
		data = binary.LittleEndian.AppendUint64(data, uint64(m.Size))
		data = append(data, m.Hash[:]...)
	}
	for _, sums := range [][]sum{g.blocks, g.parity} {
		for i := range sums {
			data = append(data, sums[i][:]...)
		}
	}
	hash := blake3.Sum256(data)
	return append(data, hash[:]...)
}

// end is what stands behind the parity blocks.
func (g *Group) end(table []byte) []byte {
	data := append(make([]byte, 0, len(table)+endSize), table...)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(table)))
	return append(data, endMagic...)
}

// Read reads what describes a group, from the beginning of its object or, where
// that is damaged, from its end. at need not yield the parity blocks.
func Read(at io.ReaderAt, size int64) (*Group, error) {
	g, err := readTable(at, 0, size)
	if err == nil || !errors.Is(err, ErrDamaged) {
		return g, err
	}
	end := make([]byte, endSize)
	if readErr := readFull(at, end, size-endSize); readErr != nil {
		return nil, readErr
	}
	length := int64(binary.LittleEndian.Uint32(end))
	if string(end[4:]) != endMagic || length > size-endSize {
		return nil, err
	}
	return readTable(at, size-endSize-length, size)
}

// readTable reads the copy at an offset of an object of size bytes.
func readTable(at io.ReaderAt, off, size int64) (*Group, error) {
	head := make([]byte, headSize)
	if err := readFull(at, head, off); err != nil {
		return nil, err
	}
	n := func(i int) int { return int(binary.LittleEndian.Uint32(head[i:])) }
	length := n(28)
	switch {
	case string(head[:4]) != magic || head[4] != 0 || head[6] != 0 || head[7] != 0:
		return nil, fmt.Errorf("%w: it does not begin as a group of parity", ErrDamaged)
	case head[5] != version:
		return nil, fmt.Errorf("%w: format version %d, this program knows %d", ErrDamaged, head[5], version)
	case n(24) > maxMembers || length > maxTable || int64(length) > size:
		return nil, fmt.Errorf("%w: %d members in a table of %d bytes", ErrDamaged, n(24), length)
	}
	data := make([]byte, headSize+length+hashSize)
	if err := readFull(at, data, off); err != nil {
		return nil, err
	}
	table := data[headSize : headSize+length]
	if blake3.Sum256(data[:headSize+length]) != [hashSize]byte(data[headSize+length:]) {
		return nil, fmt.Errorf("%w: its table has another hash", ErrDamaged)
	}
	return parseTable(Shape{Block: n(8), Data: n(12), Parity: n(16), Stripes: n(20)}, n(24), table)
}

func parseTable(shape Shape, count int, table []byte) (*Group, error) {
	members := make([]Member, 0, min(count, len(table)))
	for range count {
		if len(table) < 2 {
			return nil, fmt.Errorf("%w: its table is cut off", ErrDamaged)
		}
		n := int(binary.LittleEndian.Uint16(table))
		if len(table) < 2+n+8+hashSize {
			return nil, fmt.Errorf("%w: its table is cut off", ErrDamaged)
		}
		m := Member{Name: string(table[2 : 2+n])}
		size := binary.LittleEndian.Uint64(table[2+n:])
		if !storage.ValidName(m.Name) || size > math.MaxInt64/2 {
			return nil, fmt.Errorf("%w: %q of %d bytes", ErrDamaged, m.Name, size)
		}
		m.Size, m.Hash = int64(size), [hashSize]byte(table[10+n:])
		members, table = append(members, m), table[10+n+hashSize:]
	}
	if shape.Block <= 0 || shape.Parity <= 0 || shape.Stripes <= 0 {
		return nil, fmt.Errorf("%w: an empty shape", ErrDamaged)
	}
	if int64(shape.Stripes)*int64(shape.Parity)*sumSize > int64(len(table)) {
		return nil, fmt.Errorf("%w: its table is cut off", ErrDamaged)
	}
	g, err := newGroup(shape, members)
	if err != nil {
		return nil, err
	}
	if len(table) != (len(g.blocks)+len(g.parity))*sumSize {
		return nil, fmt.Errorf("%w: %d bytes of checksums", ErrDamaged, len(table))
	}
	for _, sums := range [][]sum{g.blocks, g.parity} {
		for i := range sums {
			sums[i] = sum(table)
			table = table[sumSize:]
		}
	}
	return g, nil
}

// readFull fills p; an object that ends before is damaged.
func readFull(at io.ReaderAt, p []byte, off int64) error {
	if off < 0 {
		return fmt.Errorf("%w: it is too short", ErrDamaged)
	}
	n, err := at.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends at byte %d", ErrDamaged, off+int64(n))
	}
	if errors.Is(err, storage.ErrUnreadable) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
