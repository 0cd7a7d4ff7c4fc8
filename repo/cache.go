package repo

import (
	"container/list"
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"

	"holdfast/internal/blob"
)

// cacheBytes bounds the blobs kept for another use.
const cacheBytes = 16 << 20

// blobCache keeps blobs that were used lately, and lets one goroutine read what
// several want at the same time. What it hands out is shared and must not be
// changed.
type blobCache struct {
	mu      sync.Mutex
	bytes   int
	order   list.List // front: used last
	byID    map[blob.ID]*list.Element
	loading map[blob.ID]*loading
}

type cachedBlob struct {
	id   blob.ID
	data []byte
}

// loading is a blob that somebody reads. data and err are set once done is closed.
type loading struct {
	bound int // of the copies' depths
	done  chan struct{}
	data  []byte
	err   error
}

func (c *blobCache) has(id blob.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.byID[id]
	return ok
}

// load returns the blob from the cache or else from read, which may use copies
// of a depth below bound.
//
// Who reads with a bound waits, for bases, for readers with a lower bound alone,
// and so on down: two never wait for each other.
func (c *blobCache) load(ctx context.Context, id blob.ID, bound int, read func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if e, ok := c.byID[id]; ok {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(cachedBlob).data, nil
	}
	other := c.loading[id]
	if other == nil {
		mine := &loading{bound: bound, done: make(chan struct{})}
		if c.loading == nil {
			c.loading = map[blob.ID]*loading{}
		}
		c.loading[id] = mine
		c.mu.Unlock()
		mine.data, mine.err = read()
		c.loaded(id, mine)
		return mine.data, mine.err
	}
	c.mu.Unlock()
	if other.bound > bound {
		return read()
	}
	select {
	case <-other.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if other.err != nil { // its context may have ended, or it had fewer copies to choose from
		return read()
	}
	return other.data, nil
}

func (c *blobCache) loaded(id blob.ID, l *loading) {
	defer close(l.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loading, id)
	if l.err == nil {
		c.put(id, l.data)
	}
}

// put needs mu.
func (c *blobCache) put(id blob.ID, data []byte) {
	if _, ok := c.byID[id]; ok || len(data) > cacheBytes/4 {
		return
	}
	if c.byID == nil {
		c.byID = map[blob.ID]*list.Element{}
	}
	c.byID[id] = c.order.PushFront(cachedBlob{id, data})
	c.bytes += len(data)
	for c.bytes > cacheBytes {
		oldest := c.order.Remove(c.order.Back()).(cachedBlob)
		delete(c.byID, oldest.id)
		c.bytes -= len(oldest.data)
	}
}

// buffers lends byte slices, in sizes of powers of two so that one serves many.
type buffers struct{ bySize [bits.UintSize]sync.Pool }

const smallestBuffer = 4 << 10

// get returns a buffer of length n.
func (b *buffers) get(n int) *[]byte {
	size := bits.Len(uint(max(n, smallestBuffer) - 1))
	p, _ := b.bySize[size].Get().(*[]byte)
	if p == nil {
		s := make([]byte, 1<<size)
		p = &s
	}
	*p = (*p)[:n]
	return p
}

// put takes back what get lent, or what has become of it by appending.
func (b *buffers) put(p *[]byte) {
	if cap(*p) >= smallestBuffer {
		b.bySize[bits.Len(uint(cap(*p)))-1].Put(p)
	}
}

// decoders lends zstd decoders, which are dear to make.
type decoders struct{ pool sync.Pool }

func (d *decoders) decompress(dst, payload []byte, limit int) ([]byte, error) {
	decoder, _ := d.pool.Get().(*zstd.Decoder)
	if decoder == nil {
		var err error
		if decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(maxBlob+1<<20), zstd.WithDecodeAllCapLimit(true)); err != nil {
			return dst, err
		}
	}
	defer d.pool.Put(decoder)
	// The capacity bounds what a damaged frame can make us produce.
	if cap(dst)-len(dst) < limit {
		grown := make([]byte, len(dst), len(dst)+limit)
		copy(grown, dst)
		dst = grown
	}
	out, err := decoder.DecodeAll(payload, dst[:len(dst):len(dst)+limit])
	if err != nil {
		return dst, err
	}
	return out, nil
}

const maxBlob = 16 << 20

// frameSize is the length that a zstd frame says it decompresses to.
func frameSize(frame []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return 0, err
	}
	if !h.HasFCS || h.FrameContentSize > maxBlob {
		return 0, fmt.Errorf("a compressed delta of %d bytes, more than %d or unknown", h.FrameContentSize, maxBlob)
	}
	return int(h.FrameContentSize), nil
}
