package repo

import (
	"context"

	"holdfast/index"
	"holdfast/internal/delta"
	"holdfast/repo/pack"
)

// layer is a delta in the middle of a chain: the operations, in a borrowed
// buffer, that make length bytes of what is below.
type layer struct {
	ops    *[]byte
	length int
}

// applyChain appends to dst what the operations of c, a delta with one base, make
// of it. As long as its base is a delta with one base too, it goes down; then it
// applies one after the other in two buffers. Where the way down ends at what cannot be
// read, there may be another, which blobByAnyWay looks for.
//
// What these make is neither cached nor compared with its id. It is hardly ever
// wanted again, the seals show that the operations are what was written, and
// what is made in the end is compared.
func (r *Repository) applyChain(ctx context.Context, dst []byte, c *index.Entry, ops []byte, search *ways) ([]byte, error) {
	var layers []layer
	defer func() {
		for _, l := range layers {
			r.scratch.put(l.ops)
		}
	}()
	below := *c
	for search == nil { // else each base is to be looked for in all its copies
		next, ok := r.single(&below)
		if !ok {
			break
		}
		ops, err := r.operations(ctx, &next)
		if err != nil { // another copy may do; if none does, the error says which
			break
		}
		layers = append(layers, layer{ops, int(next.Length)})
		below = next
	}
	base, err := r.cachedBlobBelow(ctx, below.Bases[0], int(below.Depth), search)
	if err != nil {
		return dst, err
	}
	var buffers [2]*[]byte
	for i := len(layers) - 1; i >= 0; i-- {
		buffer := &buffers[i%2]
		if *buffer == nil {
			*buffer = r.scratch.get(layers[i].length)
			defer r.scratch.put(*buffer)
		}
		if **buffer, err = delta.Apply((**buffer)[:0], *layers[i].ops, [][]byte{base}, layers[i].length); err != nil {
			return dst, err
		}
		base = **buffer
	}
	return delta.Apply(dst, ops, [][]byte{base}, int(c.Length))
}

// single returns the copy of c's base that is a delta with one base, if that is
// the best there is.
func (r *Repository) single(c *index.Entry) (index.Entry, bool) {
	if r.cache.has(c.Bases[0]) {
		return index.Entry{}, false
	}
	copies, err := r.Copies(c.Bases[0])
	if err != nil || len(copies) == 0 || copies[0].Depth >= c.Depth || len(copies[0].Bases) != 1 {
		return index.Entry{}, false
	}
	return copies[0], true
}

// operations reads those of a delta into a borrowed buffer.
func (r *Repository) operations(ctx context.Context, c *index.Entry) (ops *[]byte, err error) {
	sealed := r.scratch.get(int(c.Sealed))
	defer func() {
		if ops != sealed {
			r.scratch.put(sealed)
		}
	}()
	if err := r.readPart(ctx, *sealed, c); err != nil {
		return nil, err
	}
	p, err := r.packs.get(r.keys, &c.Pack)
	if err != nil {
		return nil, err
	}
	payload, err := p.cipher.OpenBlob((*sealed)[:0], c.Number, *sealed)
	if err != nil {
		return nil, err
	}
	if pack.Encoding(c.Encoding)&pack.Zstd == 0 {
		*sealed = payload
		return sealed, nil
	}
	size, err := frameSize(payload)
	if err != nil {
		return nil, err
	}
	plain := r.scratch.get(size)
	if *plain, err = r.decompress((*plain)[:0], payload, size); err != nil {
		r.scratch.put(plain)
		return nil, err
	}
	return plain, nil
}
