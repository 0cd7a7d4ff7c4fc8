package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

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
	out, err := r.blobOrRefresh(ctx, dst, id)
	if err != nil && ctx.Err() == nil {
		r.unreadable.add(id)
	}
	return out, err
}

func (r *Repository) blobOrRefresh(ctx context.Context, dst []byte, id blob.ID) ([]byte, error) {
	out, err := r.blobByAnyWay(ctx, dst, id)
	var missing *MissingError
	if !errors.As(err, &missing) {
		return out, err
	}
	if refreshed, again := r.refreshIndex(ctx); again != nil || !refreshed {
		return out, errors.Join(err, again)
	}
	return r.blobByAnyWay(ctx, dst, id)
}

// blobByAnyWay goes down the shallowest copies of bases first, and where these end at
// one that cannot be read, looks for another way down.
func (r *Repository) blobByAnyWay(ctx context.Context, dst []byte, id blob.ID) ([]byte, error) {
	out, err := r.blobBelow(ctx, dst, id, anyDepth, nil)
	if _, ok := errors.AsType[*basesError](err); !ok {
		return out, err
	}
	return r.blobBelow(ctx, dst, id, anyDepth, &ways{failed: map[sought]error{}})
}

// unreadable is a set of blobs no copy of which could be read.
type unreadable struct{ ids sync.Map }

func (u *unreadable) add(id blob.ID) { u.ids.Store(id, nil) }

func (u *unreadable) has(id blob.ID) bool {
	_, has := u.ids.Load(id)
	return has
}

const anyDepth = 256

// blobBelow uses copies of a depth below the bound only, which is what ends the
// recursion through bases. search is nil as long as the shallowest copies of bases do.
func (r *Repository) blobBelow(ctx context.Context, dst []byte, id blob.ID, bound int, search *ways) ([]byte, error) {
	if err := search.known(id, bound); err != nil {
		return dst, err
	}
	copies, err := r.Copies(id)
	if err != nil {
		return dst, fmt.Errorf("look up blob %s: %w", id.Short(), err)
	}
	var failures []error
	var without *index.Entry // the copy whose bases cannot be read
	for i := range copies {
		if int(copies[i].Depth) >= bound || without != nil && sameBases(&copies[i], without) {
			continue
		}
		out, err := r.readCopy(ctx, dst, &copies[i], search)
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return dst, context.Cause(ctx)
		}
		failures = append(failures, err)
		if _, ok := errors.AsType[*basesError](err); ok {
			without = &copies[i]
		}
	}
	switch len(failures) {
	case 0:
		err = &MissingError{Object: "blob " + id.Short()}
	case 1:
		err = failures[0]
	default:
		err = errors.Join(failures...)
	}
	search.fails(id, bound, err)
	return dst, err
}

// sameBases reports whether a copy is made of what another, at least as deep, is made
// of: where bases of that one are lost, so are those of this.
func sameBases(c, other *index.Entry) bool {
	return len(c.Bases) > 0 && c.Depth <= other.Depth && slices.Equal(c.Bases, other.Bases)
}

// readCopy reads one copy from its pack and proves it.
func (r *Repository) readCopy(ctx context.Context, dst []byte, c *index.Entry, search *ways) ([]byte, error) {
	sealed := r.scratch.get(int(c.Sealed))
	defer r.scratch.put(sealed)
	if err := r.readPart(ctx, *sealed, c); err != nil {
		return dst, err
	}
	out, err := r.openCopy(ctx, dst, c, *sealed, search)
	if err == nil {
		return out, nil
	}
	if namesAnother(err) {
		return dst, &basesError{err}
	}
	return dst, damagedBlob(c, err)
}

// basesError says that a copy is well as far as is known, and what it is made of is not.
type basesError struct{ error }

func (e *basesError) Unwrap() error { return e.error }

// readPart fills sealed with the sealed bytes of a copy.
func (r *Repository) readPart(ctx context.Context, sealed []byte, c *index.Entry) error {
	p, err := r.packs.get(r.keys, &c.Pack)
	if err != nil {
		return damagedBlob(c, err)
	}
	if _, err := r.store.ReadAt(ctx, p.object, sealed, int64(c.Offset)); err != nil {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &MissingError{Object: p.object}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		return damagedBlob(c, err)
	}
	r.reads.add(c)
	return nil
}

func damagedBlob(c *index.Entry, err error) error {
	return &DamagedError{Object: pack.ObjectName(c.Pack.Name), Err: fmt.Errorf("blob %s: %w", c.ID.Short(), err)}
}

// openCopy turns the sealed bytes of a copy, which it overwrites, into those of
// its blob, and compares them with the id.
func (r *Repository) openCopy(ctx context.Context, dst []byte, c *index.Entry, sealed []byte, search *ways) ([]byte, error) {
	p, err := r.packs.get(r.keys, &c.Pack)
	if err != nil {
		return dst, err
	}
	from := len(dst)
	out := slices.Grow(dst, int(c.Length))
	if c.Encoding == 0 {
		out, err = p.cipher.OpenBlob(out, c.Number, sealed)
	} else {
		var payload []byte
		if payload, err = p.cipher.OpenBlob(sealed[:0], c.Number, sealed); err == nil {
			out, err = r.unpack(ctx, out, c, payload, search)
		}
	}
	if err != nil {
		return dst, err
	}
	if len(out)-from != int(c.Length) || r.sum(out[from:]) != c.ID {
		return dst, errors.New("its bytes are not those of its id")
	}
	return out, nil
}

// unpack undoes the encoding.
func (r *Repository) unpack(ctx context.Context, dst []byte, c *index.Entry, payload []byte, search *ways) ([]byte, error) {
	encoding := pack.Encoding(c.Encoding)
	if encoding&pack.Delta == 0 {
		return r.decompress(dst, payload, int(c.Length))
	}
	if encoding&pack.Zstd != 0 {
		size, err := frameSize(payload)
		if err != nil {
			return dst, err
		}
		ops := r.scratch.get(size)
		defer r.scratch.put(ops)
		if payload, err = r.decompress((*ops)[:0], payload, size); err != nil {
			return dst, err
		}
	}
	if len(c.Bases) == 1 {
		return r.applyChain(ctx, dst, c, payload, search)
	}
	bases := make([][]byte, 0, delta.MaxBases)
	for _, id := range c.Bases {
		data, err := r.cachedBlobBelow(ctx, id, int(c.Depth), search)
		if err != nil {
			return dst, err
		}
		bases = append(bases, data)
	}
	return delta.Apply(dst, payload, bases, int(c.Length))
}

// cachedBlob returns a blob that is likely to be wanted again: a list, a
// listing, a base. The caller must not change it.
func (r *Repository) cachedBlob(ctx context.Context, id blob.ID) ([]byte, error) {
	return r.cache.load(ctx, id, anyDepth, func() ([]byte, error) { return r.blob(ctx, nil, id) })
}

func (r *Repository) cachedBlobBelow(ctx context.Context, id blob.ID, bound int, search *ways) ([]byte, error) {
	return r.cache.load(ctx, id, bound, func() ([]byte, error) { return r.blobBelow(ctx, nil, id, bound, search) })
}
