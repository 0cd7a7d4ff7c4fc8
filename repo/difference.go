package repo

import (
	"context"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"holdfast/internal/blob"
	"holdfast/internal/delta"
	"holdfast/repo/pack"
)

// differ makes deltas of chunks, one after the other, for one worker, whose
// hasher and compressor it shares.
type differ struct {
	hasher  *blob.Hasher
	zstd    *zstd.Encoder
	delta   delta.Encoder
	ops     []byte // a delta before compression
	payload []byte
	proof   []byte // a delta applied
}

// encode tries the parent stream's bytes around the same place, and describes
// in b what it returns, which is valid until the next call. A delta is taken
// when it is less than a third of the bytes: otherwise zstd alone may be as
// good, and a whole blob reads faster.
func (d *differ) encode(ctx context.Context, from *base, offset uint64, data []byte, b *pack.Blob) ([]byte, bool, error) {
	candidates, err := from.around(ctx, offset, len(data))
	if err != nil || len(candidates.ids) == 0 {
		return nil, false, err
	}
	d.ops = d.delta.Encode(d.ops[:0], data, candidates.data)
	if len(d.ops) > len(data)/3 {
		return nil, false, nil
	}
	proof, err := delta.Apply(d.proof[:0], d.ops, candidates.data, len(data))
	if err != nil || d.hasher.ID(proof) != b.ID {
		return nil, false, fmt.Errorf("a new delta does not give back its bytes: %w", err)
	}
	d.proof = proof
	b.Bases, b.Depth, b.Encoding = candidates.ids, candidates.depth+1, pack.Delta
	d.payload = d.zstd.EncodeAll(d.ops, d.payload[:0])
	if worthwhile(len(d.payload), len(d.ops)) {
		b.Encoding |= pack.Zstd
		return d.payload, true, nil
	}
	return d.ops, true, nil
}
