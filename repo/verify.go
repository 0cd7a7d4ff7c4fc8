package repo

import (
	"context"
	"errors"
	"fmt"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

// StoredPacks returns the sizes of all packs in the storage. What stands among
// them and is none belongs to nobody and harms nobody.
func (r *Repository) StoredPacks(ctx context.Context) (map[[32]byte]int64, error) {
	packs := map[[32]byte]int64{}
	for info, err := range r.store.List(ctx, "packs") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		name, err := pack.ParseObjectName(info.Name)
		if err != nil {
			continue
		}
		packs[name] = info.Size
	}
	return packs, nil
}

// BadBlob is a copy of a blob that cannot be read.
type BadBlob struct {
	ID     blob.ID
	Number uint32 // in its pack
	Err    error
	// Base is set where the copy is as it was written, and what it is a difference
	// from cannot be read. Err names that.
	Base bool
}

// VerifyPack reads all of a pack and compares its name, its directory, what the
// index says about it, and the bytes of every blob. The error is about the whole
// pack.
func (r *Repository) VerifyPack(ctx context.Context, name [32]byte) ([]BadBlob, error) {
	if err := r.needIndex(ctx); err != nil {
		return nil, err
	}
	object := pack.ObjectName(name)
	data, err := storage.ReadAll(ctx, r.store, object, pack.MaxSize)
	if err != nil {
		return nil, err
	}
	if err := pack.VerifyName(object, data); err != nil {
		return r.verifyBlobs(ctx, object, data, err)
	}
	return r.verifyBlobs(ctx, object, data, nil)
}

// verifyBlobs names the damaged blobs of a pack. whole is what is known to be
// wrong with the pack itself, which matters only where no blob shows it.
func (r *Repository) verifyBlobs(ctx context.Context, object string, data []byte, whole error) ([]BadBlob, error) {
	info, placed, err := pack.ReadDirectory(r.keys, object, int64(len(data)), bytesReader(data))
	if err != nil {
		return nil, r.orDamaged(ctx, err)
	}
	var bad []BadBlob
	var buffer []byte
	for _, p := range placed {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e := entryOf(info, p)
		if buffer, err = r.openCopy(ctx, buffer[:0], &e, data[p.Offset:p.Offset+p.Sealed], nil); err != nil {
			bad = append(bad, BadBlob{ID: p.ID, Number: p.Number, Err: err, Base: namesAnother(err)})
		} else if err := r.agrees(e); err != nil {
			bad = append(bad, BadBlob{ID: p.ID, Number: p.Number, Err: err})
		}
	}
	if len(bad) == 0 {
		return nil, whole
	}
	return bad, nil
}

// namesAnother reports whether what opening a copy ran into is the fault of
// another object.
func namesAnother(err error) bool {
	var damaged *DamagedError
	var missing *MissingError
	return errors.As(err, &damaged) || errors.As(err, &missing)
}

// agrees compares a pack's own directory with what the index says.
func (r *Repository) agrees(e index.Entry) error {
	copies, err := r.Copies(e.ID)
	if err != nil {
		return err
	}
	for _, c := range copies {
		if c.Pack.Name == e.Pack.Name && c.Number == e.Number &&
			(c.Offset != e.Offset || c.Sealed != e.Sealed || c.Length != e.Length || c.Depth != e.Depth || c.Encoding != e.Encoding) {
			return fmt.Errorf("the index describes it otherwise than its pack; \"holdfast repo rebuild-index\" makes the index anew")
		}
	}
	return nil
}

func entryOf(info pack.Info, p pack.Placed) index.Entry {
	return index.Entry{ID: p.ID, Pack: indexPack(info), Offset: p.Offset, Sealed: p.Sealed, Length: p.Length,
		Number: p.Number, Encoding: uint8(p.Encoding), Depth: p.Depth, Bases: p.Bases}
}

// Totals is what a repository holds.
type Totals struct {
	Snapshots int    `json:"snapshots"`
	Blobs     uint64 `json:"blobs"`  // copies in the index
	Deltas    uint64 `json:"deltas"` // of those, stored as differences
	Bytes     uint64 `json:"bytes"`  // of the blobs, before compression
	Packs     int    `json:"packs"`
	Stored    uint64 `json:"stored"` // bytes of packs
	Segments  int    `json:"segments"`
	Unindexed int    `json:"unindexed"` // packs that no segment names
}

// Totals adds up the index and the packs.
func (r *Repository) Totals(ctx context.Context) (Totals, error) {
	return ListedAnew(func() (Totals, error) { return r.totals(ctx) })
}

func (r *Repository) totals(ctx context.Context) (Totals, error) {
	var t Totals
	segments, err := r.currentSegments(ctx)
	if err != nil {
		return t, err
	}
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return t, err
	}
	t.Segments, t.Packs, t.Unindexed = len(segments), len(stored), len(stored)
	for _, size := range stored {
		t.Stored += uint64(size)
	}
	for _, s := range segments {
		for _, p := range s.Packs() {
			if _, ok := stored[p.Name]; ok {
				t.Unindexed--
			}
		}
		for e, err := range s.All() {
			if err != nil {
				return t, fmt.Errorf("read the index: %w", err)
			}
			t.Blobs++
			t.Bytes += uint64(e.Length)
			if e.Depth > 0 {
				t.Deltas++
			}
		}
	}
	return t, nil
}
