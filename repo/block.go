package repo

import (
	"sync"
	"sync/atomic"
)

const (
	// readStep is how much of a stream is read before its cut points are looked
	// for: enough to make system calls cheap, little enough to stay in a
	// processor's cache until it is hashed.
	readStep = 256 << 10
	// idleBlocks is how many blocks are kept for another use.
	idleBlocks = 16
)

// block is a piece of a stream in memory. The chunks that are cut from it share
// it until the last of them is stored.
type block struct {
	pool  *blocks
	bytes []byte
	users atomic.Int32 // who fills it, and each chunk on its way
}

// release ends one use. After the last one somebody else fills the block.
func (b *block) release() {
	if b.users.Add(-1) == 0 {
		b.pool.put(b)
	}
}

// blocks lends blocks of one size. It never makes anybody wait: streams nest
// (the listing of a directory is written while its files are), so whoever waited
// for a block could be waited for by who holds one. What is on its way is bounded
// by the jobs that workers can hold, and a stream itself holds one block.
type blocks struct {
	size int

	mu   sync.Mutex
	idle []*block
}

// get returns a block with one user.
func (p *blocks) get() *block {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b *block
	if last := len(p.idle) - 1; last >= 0 {
		b, p.idle = p.idle[last], p.idle[:last]
	} else {
		b = &block{pool: p, bytes: make([]byte, p.size)}
	}
	b.users.Store(1)
	return b
}

func (p *blocks) put(b *block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < idleBlocks {
		p.idle = append(p.idle, b)
	}
}
