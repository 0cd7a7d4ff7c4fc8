package repo

import (
	"sync"
	"sync/atomic"

	"holdfast/index"
	"holdfast/internal/seal"
	"holdfast/repo/pack"
)

// openPacks keeps what every read from a pack takes: the object's name and the
// cipher, which is dear to derive.
type openPacks struct {
	mu     sync.Mutex
	byPack map[index.Pack]*openPack
}

type openPack struct {
	object string
	cipher *seal.PackCipher
}

// keptPacks bounds openPacks; it is about 1 MB.
const keptPacks = 1024

func (o *openPacks) get(keys *seal.Keys, p *index.Pack) (*openPack, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.byPack[*p]; ok {
		return known, nil
	}
	cipher, err := keys.PackCipherFor(p.Epoch, p.Salt)
	if err != nil {
		return nil, err
	}
	if o.byPack == nil || len(o.byPack) == keptPacks {
		o.byPack = map[index.Pack]*openPack{}
	}
	opened := &openPack{pack.ObjectName(p.Name), cipher}
	o.byPack[*p] = opened
	return opened, nil
}

// PackReads is how much was read from packs, in bytes.
type PackReads struct {
	Read    uint64 // in all
	Needed  uint64 // of it the first time
	Present uint64 // of contents, not read because they were there (OpenPresent)
}

// Amplification is how often, in the mean, each needed byte was read.
func (p PackReads) Amplification() float64 {
	if p.Needed == 0 {
		return 1
	}
	return float64(p.Read) / float64(p.Needed)
}

// PackReads returns what this Repository has read from packs so far, for
// contents, listings and the bases of deltas.
func (r *Repository) PackReads() PackReads {
	r.reads.mu.Lock()
	defer r.reads.mu.Unlock()
	sum := r.reads.sum
	sum.Present = r.reads.present.Load()
	return sum
}

// readCounter knows which blobs were read: a bit for each.
type readCounter struct {
	mu   sync.Mutex
	seen map[[32]byte][]uint64 // by pack
	sum  PackReads

	present atomic.Uint64
}

func (c *readCounter) add(e *index.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.Read += uint64(e.Sealed)
	word, bit := int(e.Number/64), uint64(1)<<(e.Number%64)
	seen := c.seen[e.Pack.Name]
	if len(seen) <= word {
		if c.seen == nil {
			c.seen = map[[32]byte][]uint64{}
		}
		seen = append(seen, make([]uint64, word+1-len(seen))...)
		c.seen[e.Pack.Name] = seen
	}
	if seen[word]&bit == 0 {
		seen[word] |= bit
		c.sum.Needed += uint64(e.Sealed)
	}
}
