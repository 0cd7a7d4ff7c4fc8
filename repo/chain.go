package repo

import (
	"holdfast/index"
	"holdfast/internal/blob"
)

// maxChain bounds how many deltas a reader applies to make one blob. What ends
// most chains is the bytes of their deltas; a lower bound than this would make
// many blobs whole again on one day, and cost more than it saves the reader.
const maxChain = 64

// chain is what a reader reads to make some blobs: deltas, down to whole blobs.
type chain struct {
	deltas []link
	sealed int // bytes of the deltas
	// The sealed and plain bytes of the whole blob that was met first tell how
	// long others like it become.
	wholeSealed, wholePlain int

	// What was found out on the way, without which copies of copies would be looked
	// for over and over: two of each blob make 2⁶³ ways through a chain.
	failed  []failure
	tooLong bool // the search has ended at maxChain
}

// failure says that a blob has no sound copy of a depth below the bound.
type failure struct {
	id    blob.ID
	bound int
}

type link struct {
	id    blob.ID
	depth uint8
}

func (c *chain) reset() { *c = chain{deltas: c.deltas[:0], failed: c.failed[:0]} }

// add adds what reading id takes and returns the depth of its shallowest sound
// copy. It is false, and c is as before, when that were more deltas than there may
// be or when id has none.
func (c *chain) add(rely *reliance, id blob.ID) (depth uint8, ok bool) {
	c.tooLong = false
	return c.follow(rely, id, anyDepth)
}

// follow adds what a copy of a depth below the bound takes: of the shallowest that is
// sound. If that is too long, deeper ones are not asked.
func (c *chain) follow(rely *reliance, id blob.ID, bound int) (depth uint8, ok bool) {
	for _, known := range c.deltas {
		if known.id == id && int(known.depth) < bound {
			return known.depth, true
		}
	}
	for _, f := range c.failed {
		if f.id == id && bound <= f.bound {
			return 0, false
		}
	}
	copies, err := rely.copies(id)
	if err != nil {
		return 0, false
	}
	for i := range copies {
		e := &copies[i]
		if int(e.Depth) >= bound {
			break
		}
		deltas, sealed := len(c.deltas), c.sealed
		if c.through(rely, e) {
			return e.Depth, true
		}
		c.deltas, c.sealed = c.deltas[:deltas], sealed
		if c.tooLong {
			return 0, false
		}
	}
	c.failed = append(c.failed, failure{id, bound})
	return 0, false
}

// through adds what one copy takes.
func (c *chain) through(rely *reliance, e *index.Entry) bool {
	if e.Depth == 0 {
		if c.wholeSealed == 0 {
			c.wholeSealed, c.wholePlain = int(e.Sealed), int(e.Length)
		}
		return true
	}
	if len(c.deltas) >= maxChain-1 {
		c.tooLong = true
		return false
	}
	c.deltas = append(c.deltas, link{e.ID, e.Depth})
	c.sealed += int(e.Sealed)
	for _, base := range e.Bases {
		if _, ok := c.follow(rely, base, int(e.Depth)); !ok {
			return false
		}
	}
	return true
}

// whole estimates what n bytes like those at the end of the chain take when
// stored whole.
func (c *chain) whole(n int) int {
	if c.wholePlain == 0 {
		return n
	}
	return int(int64(n) * int64(c.wholeSealed) / int64(c.wholePlain))
}
