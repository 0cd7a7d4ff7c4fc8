package repo

import (
	"context"
	"errors"
	"slices"

	"github.com/klauspost/compress/zstd"

	"holdfast/internal/blob"
	"holdfast/internal/delta"
	"holdfast/repo/pack"
)

// baseCost is what naming a base costs: its id, in the pack and in the index.
const baseCost = 2 * 32

// differ makes deltas of chunks, one after the other, for one worker, whose
// compressor it shares.
type differ struct {
	repo    *Repository
	rely    *reliance
	zstd    *zstd.Encoder
	delta   delta.Encoder
	ops     []byte // a delta before compression
	payload []byte

	chain  chain
	ids    []blob.ID // of the bases at hand
	data   [][]byte
	depths []uint8
}

// encode tries to describe data, which is like blobs of the parent stream, by
// its difference from them. It describes in b what it returns, which is valid
// until the next call.
//
// A delta is taken when it is at most half of what the whole would be, and
// when a reader then reads at most twice the whole.
func (d *differ) encode(ctx context.Context, from *base, like likeness, data []byte, b *pack.Blob) ([]byte, bool, error) {
	if !from.worthTrying(like) {
		return nil, false, nil
	}
	used, ok, err := d.compare(ctx, from, like, data)
	if err != nil {
		return nil, false, err
	}
	if !ok {
		if len(d.ids) > 0 {
			from.tried(false)
		}
		return nil, false, nil
	}
	from.tried(true)
	d.keep(used, b)
	if b.Depth > maxChain { // its bases have shorter chains by now, but say they are deep
		b.Bases, b.Depth = nil, 0
		return nil, false, nil
	}
	d.payload = d.zstd.EncodeAll(d.ops, d.payload[:0])
	payload := d.ops
	b.Encoding = pack.Delta
	if worthwhile(len(d.payload), len(d.ops)) {
		b.Encoding |= pack.Zstd
		payload = d.payload
	}
	whole := d.chain.whole(len(data))
	if len(payload)+baseCost*len(d.ids) > whole/2 || d.chain.sealed+len(payload) > whole {
		b.Bases, b.Depth, b.Encoding = nil, 0, 0
		return nil, false, nil
	}
	if !delta.Makes(data, d.ops, d.data) {
		return nil, false, errors.New("a new delta does not give back its bytes")
	}
	return payload, true, nil
}

// compare makes ops. Mostly one base is enough; only where much is not found in
// it, those beside it are read too.
func (d *differ) compare(ctx context.Context, from *base, like likeness, data []byte) (used uint8, ok bool, err error) {
	d.chain.reset()
	d.ids, d.data, d.depths = d.ids[:0], d.data[:0], d.depths[:0]
	if err := d.open(ctx, like.refs[like.best].ID); err != nil || len(d.ids) == 0 {
		return 0, false, err
	}
	alone := len(like.refs) == 1
	limit := len(data) / 2
	if !alone {
		limit = len(data) * 7 / 8
	}
	d.ops, used, ok = d.delta.Encode(d.ops[:0], data, d.data, 0, limit)
	if alone || ok && len(d.ops) < max(1<<10, len(data)/32) || !ok && from.misses.Load() > 0 {
		return used, ok, nil
	}
	// What follows the best base comes first, because the coder goes on there.
	for i := 1; i < len(like.refs); i++ {
		if err := d.open(ctx, like.refs[(like.best+i)%len(like.refs)].ID); err != nil {
			return 0, false, err
		}
	}
	d.ops, used, ok = d.delta.Encode(d.ops[:0], data, d.data, 0, len(data)/2)
	return used, ok, nil
}

// open adds a base, unless reading it takes too many deltas already or it cannot
// be read, which check will tell.
func (d *differ) open(ctx context.Context, id blob.ID) error {
	depth, ok := d.chain.add(d.rely, id)
	if !ok {
		return nil
	}
	data, err := d.repo.cachedBlob(ctx, id)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		d.ids, d.data, d.depths = append(d.ids, id), append(d.data, data), append(d.depths, depth)
	}
	return nil
}

// keep drops the bases that are not used and describes the others in b.
func (d *differ) keep(used uint8, b *pack.Blob) {
	opened := len(d.ids)
	kept := 0
	for i := range opened {
		if used>>i&1 == 1 {
			d.ids[kept], d.data[kept], d.depths[kept] = d.ids[i], d.data[i], d.depths[i]
			kept++
		}
	}
	d.ids, d.data, d.depths = d.ids[:kept], d.data[:kept], d.depths[:kept]
	if kept < opened {
		d.chain.reset()
		for _, id := range d.ids {
			d.chain.add(d.rely, id)
		}
	}
	b.Bases, b.Depth = d.ids, 1+slices.Max(d.depths)
}
