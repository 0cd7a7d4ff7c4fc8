package parity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/reedsolomon"

	"holdfast/internal/blake3"
)

// Builder makes a group in one pass over its members, in memory of about the
// parity's size. One goroutine uses it.
type Builder struct {
	group  *Group
	coder  reedsolomon.Encoder
	parity [][][]byte // by stripe, number
	added  int        // members
	block  []byte
}

// NewBuilder returns the builder of a group of members, whose hashes are not known
// yet.
func NewBuilder(shape Shape, members []Member) (*Builder, error) {
	g, err := newGroup(shape, members)
	if err != nil {
		return nil, fmt.Errorf("begin a group of parity: %w", err)
	}
	coder, err := reedsolomon.New(shape.Data, shape.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("begin a group of parity: %w", err)
	}
	b := &Builder{group: g, coder: coder, block: make([]byte, shape.Block)}
	all := make([]byte, len(g.parity)*shape.Block)
	for range shape.Stripes {
		blocks := make([][]byte, shape.Parity)
		for i := range blocks {
			blocks[i], all = all[:shape.Block:shape.Block], all[shape.Block:]
		}
		b.parity = append(b.parity, blocks)
	}
	return b, nil
}

// Add adds the next member, which at reads.
func (b *Builder) Add(at io.ReaderAt) error {
	g := b.group
	m := &g.Members[b.added]
	hash := blake3.New()
	for i := g.first[b.added]; i < g.first[b.added+1]; i++ {
		off := int64(i-g.first[b.added]) * int64(g.Block)
		data := b.block[:min(int64(g.Block), m.Size-off)]
		if n, err := at.ReadAt(data, off); n < len(data) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %s: %w", m.Name, err)
		}
		_, _ = hash.Write(data) // never fails
		g.blocks[i] = sumOf(data)
		clear(b.block[len(data):])
		stripe, number := g.place(i)
		if err := b.coder.EncodeIdx(b.block, number, b.parity[stripe]); err != nil {
			return fmt.Errorf("compute parity of %s: %w", m.Name, err)
		}
	}
	m.Hash = hash.Sum()
	b.added++
	return nil
}

// Finish returns the object, once all members were added, and its name.
func (b *Builder) Finish() (name string, object []byte, err error) {
	g := b.group
	if b.added != len(g.Members) {
		return "", nil, errors.New("finish a group of parity: members are missing")
	}
	for s, blocks := range b.parity {
		for i, block := range blocks {
			g.parity[s*g.Parity+i] = sumOf(block)
		}
	}
	table := g.table()
	object = make([]byte, 0, g.Size())
	object = append(object, table...)
	for _, blocks := range b.parity {
		for _, block := range blocks {
			object = append(object, block...)
		}
	}
	object = append(object, g.end(table)...)
	hash := blake3.Sum256(object)
	return Folder + "/" + hex.EncodeToString(hash[:16]), object, nil
}

// Folder is where the groups are.
const Folder = "parity/groups"
