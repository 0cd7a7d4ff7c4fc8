package repo

import (
	"context"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
	"holdfast/repo/pack"
)

// zstdWindow is how far back a match may lie, in bytes.
const zstdWindow = 1 << 20

// worker turns chunks into sealed blobs: id, known or not, delta or zstd or
// raw, into a pack. Its encoders live as long as it does.
type worker struct {
	w       *Writer
	hasher  *blob.Hasher
	fast    *zstd.Encoder
	better  *zstd.Encoder // for what is fine-grained; nil before there is any
	differ  differ
	payload []byte
}

// newEncoder: single-segment frames always state their size, which readers rely
// upon; a window of one chunk is all that can be used, and is kept once.
func newEncoder(level zstd.EncoderLevel) *zstd.Encoder {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic("repo: zstd options: " + err.Error())
	}
	return encoder
}

func newWorker(w *Writer) *worker {
	encoder := newEncoder(zstd.SpeedFastest)
	return &worker{w: w, hasher: blob.NewHasher(w.repo.idKey()), fast: encoder, differ: differ{repo: w.repo, rely: w.rely, zstd: encoder}}
}

func (k *worker) store(ctx context.Context, j *job) error {
	id := k.hasher.ID(j.data)
	j.ref = tree.Ref{ID: id, Size: uint64(len(j.data))}
	mine, err := k.w.claims.claim(id)
	if err != nil || !mine {
		return err
	}
	b := pack.Blob{ID: id, Length: uint32(len(j.data))}
	payload, err := k.encode(ctx, j, &b)
	if err != nil {
		return fmt.Errorf("store blob %s: %w", id.Short(), err)
	}
	stats := &k.w.stats
	stats.new.Add(uint64(len(j.data)))
	stats.blobs.Add(1)
	if b.Encoding&pack.Delta != 0 {
		stats.deltas.Add(1)
	}
	return k.w.place(ctx, j.class, b, payload)
}

// encoder returns the compressor for data of a grain. Dumps and page files come from
// servers that take longer to yield them than it takes to compress them well, and
// after the first day only what is new of them is compressed.
func (k *worker) encoder(g Grain) *zstd.Encoder {
	if g == Coarse {
		return k.fast
	}
	if k.better == nil {
		k.better = newEncoder(zstd.SpeedDefault)
	}
	return k.better
}

// encode chooses the smallest of what is worth trying. What it returns is valid
// until the next call.
func (k *worker) encode(ctx context.Context, j *job, b *pack.Blob) ([]byte, error) {
	if j.base != nil {
		if payload, ok, err := k.differ.encode(ctx, j.base, j.like, j.data, b); ok || err != nil {
			return payload, err
		}
	}
	if dense(j.data) {
		return j.data, nil
	}
	k.payload = k.encoder(j.grain).EncodeAll(j.data, k.payload[:0])
	if worthwhile(len(k.payload), len(j.data)) {
		b.Encoding = pack.Zstd
		return k.payload, nil
	}
	return j.data, nil
}

// worthwhile: saving less than a fiftieth is not worth decompressing.
func worthwhile(encoded, plain int) bool { return encoded < plain-plain/50 }
