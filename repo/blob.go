package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/delta"
	"holdfast/repo/pack"
)

// blob returns the bytes that id names, compared with it, appended to dst.
//
// A blob may have several copies; any one that can be read serves. Where none
// can, the index may be older than a collection that moved it: it is read
// again, once.
func (r *Repository) blob(ctx context.Context, dst []byte, id blob.ID) ([]byte, error) {
	if err := r.needIndex(ctx); err != nil {
		return dst, err
	}
	out, err := r.blobBelow(ctx, dst, id, anyDepth)
	var missing *MissingError
	if !errors.As(err, &missing) {
		return out, err
	}
	if refreshed, again := r.refreshIndex(ctx); again != nil || !refreshed {
		return out, errors.Join(err, again)
	}
	return r.blobBelow(ctx, dst, id, anyDepth)
}

const anyDepth = 256

// blobBelow uses copies of a depth below the bound only, which is what ends the
// recursion through bases.
func (r *Repository) blobBelow(ctx context.Context, dst []byte, id blob.ID, bound int) ([]byte, error) {
	copies, err := r.Copies(id)
	if err != nil {
		return dst, fmt.Errorf("look up blob %s: %w", id.Short(), err)
	}
	var failures []error
	for _, c := range copies {
		if int(c.Depth) >= bound {
			continue
		}
		out, err := r.readCopy(ctx, dst, c)
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return dst, context.Cause(ctx)
		}
		failures = append(failures, err)
	}
	switch len(failures) {
	case 0:
		return dst, &MissingError{Object: "blob " + id.Short()}
	case 1:
		return dst, failures[0]
	}
	return dst, errors.Join(failures...)
}

// readCopy reads one copy from its pack and proves it.
func (r *Repository) readCopy(ctx context.Context, dst []byte, c index.Entry) ([]byte, error) {
	object := pack.ObjectName(c.Pack.Name)
	damaged := func(err error) error {
		return &DamagedError{Object: object, Err: fmt.Errorf("blob %s: %w", c.ID.Short(), err)}
	}
	sealed := r.scratch.get(int(c.Sealed))
	defer r.scratch.put(sealed)
	if _, err := r.store.ReadAt(ctx, object, *sealed, int64(c.Offset)); err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return dst, &MissingError{Object: object}
		case ctx.Err() != nil:
			return dst, context.Cause(ctx)
		}
		return dst, damaged(err)
	}
	out, err := r.openCopy(ctx, dst, c, *sealed)
	if err == nil {
		return out, nil
	}
	var deeper *DamagedError
	var missing *MissingError
	if errors.As(err, &deeper) || errors.As(err, &missing) {
		return dst, err // a base's fault, named already
	}
	return dst, damaged(err)
}

// openCopy turns the sealed bytes of a copy into those of its blob and compares
// them with the id.
func (r *Repository) openCopy(ctx context.Context, dst []byte, c index.Entry, sealed []byte) ([]byte, error) {
	cipher, err := r.keys.PackCipherFor(c.Pack.Epoch, c.Pack.Salt)
	if err != nil {
		return dst, err
	}
	payload := r.scratch.get(len(sealed))
	defer r.scratch.put(payload)
	if *payload, err = cipher.OpenBlob((*payload)[:0], c.Number, sealed); err != nil {
		return dst, err
	}
	from := len(dst)
	out, err := r.unpack(ctx, slices.Grow(dst, int(c.Length)), c, *payload)
	if err != nil {
		return dst, err
	}
	if len(out)-from != int(c.Length) || r.sum(out[from:]) != c.ID {
		return dst, errors.New("its bytes are not those of its id")
	}
	return out, nil
}

// unpack undoes the encoding.
func (r *Repository) unpack(ctx context.Context, dst []byte, c index.Entry, payload []byte) ([]byte, error) {
	encoding := pack.Encoding(c.Encoding)
	if encoding&pack.Delta == 0 {
		if encoding&pack.Zstd == 0 {
			return append(dst, payload...), nil
		}
		return r.decompress(dst, payload, int(c.Length))
	}
	if encoding&pack.Zstd != 0 {
		size, err := frameSize(payload)
		if err != nil {
			return dst, err
		}
		if payload, err = r.decompress(nil, payload, size); err != nil {
			return dst, err
		}
	}
	bases := make([][]byte, len(c.Bases))
	for i, id := range c.Bases {
		var err error
		if bases[i], err = r.cachedBlobBelow(ctx, id, int(c.Depth)); err != nil {
			return dst, err
		}
	}
	return delta.Apply(dst, payload, bases, int(c.Length))
}

// cachedBlob returns a blob that is likely to be wanted again: a list, a
// listing, a base. The caller must not change it.
func (r *Repository) cachedBlob(ctx context.Context, id blob.ID) ([]byte, error) {
	if data, ok := r.cache.get(id); ok {
		return data, nil
	}
	data, err := r.blob(ctx, nil, id)
	if err == nil {
		r.cache.put(id, data)
	}
	return data, err
}

func (r *Repository) cachedBlobBelow(ctx context.Context, id blob.ID, bound int) ([]byte, error) {
	if data, ok := r.cache.get(id); ok {
		return data, nil
	}
	data, err := r.blobBelow(ctx, nil, id, bound)
	if err == nil {
		r.cache.put(id, data)
	}
	return data, err
}
