package repo

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"holdfast/internal/blob"
)

// cacheBytes bounds the blobs kept for another use.
const cacheBytes = 16 << 20

// blobCache keeps blobs that were used lately. What it hands out is shared and
// must not be changed.
type blobCache struct {
	mu    sync.Mutex
	bytes int
	order list.List // front: used last
	byID  map[blob.ID]*list.Element
}

type cachedBlob struct {
	id   blob.ID
	data []byte
}

func (c *blobCache) get(id blob.ID) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedBlob).data, true
}

func (c *blobCache) put(id blob.ID, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
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

// buffers lends byte slices for the length of one read.
type buffers struct{ pool sync.Pool }

func (b *buffers) get(n int) *[]byte {
	p, _ := b.pool.Get().(*[]byte)
	if p == nil || cap(*p) < n {
		s := make([]byte, n, max(n, 64<<10))
		return &s
	}
	*p = (*p)[:n]
	return p
}

func (b *buffers) put(p *[]byte) { b.pool.Put(p) }

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
