package repo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"holdfast/index"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

// What a collection does to the repository; what it may do when is its own
// business (docs/gc.md).

// PackDirectory reads what a pack says of itself.
func (r *Repository) PackDirectory(ctx context.Context, name [32]byte, size int64) (pack.Info, []pack.Placed, error) {
	object := pack.ObjectName(name)
	info, placed, err := pack.ReadDirectory(r.keys, object, size, storage.At(ctx, r.store, object))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return info, placed, r.orDamaged(ctx, err)
}

// Move stores a copy of a blob once more, as it is and of the same depth. Its seal
// proves it; it is neither decompressed nor compared with its id. listing says
// which packs it goes to: those that are read to walk a snapshot.
func (w *Writer) Move(ctx context.Context, e *index.Entry, listing bool) error {
	sealed := w.repo.scratch.get(int(e.Sealed))
	defer w.repo.scratch.put(sealed)
	if err := w.repo.readPart(ctx, *sealed, e); err != nil {
		return err
	}
	p, err := w.repo.packs.get(w.repo.keys, &e.Pack)
	if err != nil {
		return damagedBlob(e, err)
	}
	payload, err := p.cipher.OpenBlob((*sealed)[:0], e.Number, *sealed)
	if err != nil {
		return damagedBlob(e, err)
	}
	w.stats.blobs.Add(1)
	c := contents
	if listing {
		c = listings
	}
	b := pack.Blob{ID: e.ID, Length: e.Length, Encoding: pack.Encoding(e.Encoding), Depth: e.Depth, Bases: e.Bases}
	return w.packers[c].add(ctx, b, payload)
}

// Whole stores the blob of a copy once more, whole.
func (w *Writer) Whole(ctx context.Context, e *index.Entry, listing bool) error {
	data, err := w.repo.blob(ctx, nil, e.ID)
	if err != nil {
		return err
	}
	select {
	case k := <-w.idle:
		defer func() { w.idle <- k }()
		j := w.newJob()
		defer j.free()
		j.data = data
		if listing {
			j.class = listings
		}
		b := pack.Blob{ID: e.ID, Length: uint32(len(data))}
		payload, err := k.encode(ctx, j, &b)
		if err != nil {
			return err
		}
		w.stats.blobs.Add(1)
		return w.packers[j.class].add(ctx, b, payload)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CurrentSegments opens the segments that count. The others, which these have
// superseded, are named too.
func (r *Repository) CurrentSegments(ctx context.Context) (current map[index.SegmentName]*index.Segment, superseded []index.SegmentName, err error) {
	bad := map[string]error{}
	if current, err = r.allSegments(ctx, bad); err != nil {
		return nil, nil, err
	}
	for object, err := range bad {
		return nil, nil, &DamagedError{Object: object, Err: err}
	}
	names, err := r.segmentNames(ctx)
	for n := range names {
		if current[n] == nil && isSuperseded(current, n) {
			superseded = append(superseded, n)
		}
	}
	return current, superseded, err
}

func isSuperseded(current map[index.SegmentName]*index.Segment, n index.SegmentName) bool {
	for _, s := range current {
		if slices.Contains(s.Superseded(), n) {
			return true
		}
	}
	return false
}

// supersedeEntries bounds what one segment made by Supersede is filled with.
const supersedeEntries = 1 << 18

// Supersede writes segments that say what the old ones say, but for the packs
// that are gone, and replace them. They also replace the older ones, which the old
// ones had superseded and which are still there: else these would count again once
// the old ones are removed. It returns the number of segments it has made; the objects
// of all others are still there.
func (r *Repository) Supersede(ctx context.Context, old map[index.SegmentName]*index.Segment, older []index.SegmentName, gone func(pack [32]byte) bool) (made int, err error) {
	var b index.Builder
	filled := 0
	for _, name := range largestFirst(old) {
		added, err := addSegment(&b, old[name], gone)
		if err != nil {
			return made, fmt.Errorf("%s: %w", index.ObjectName(name), err)
		}
		if filled += added; filled >= supersedeEntries {
			if err := r.putBuilt(ctx, &b); err != nil {
				return made, err
			}
			made++
			b, filled = index.Builder{}, 0
		}
	}
	// The older ones first, before any that has superseded them is superseded itself.
	more, err := r.putInPlaceOf(ctx, &b, slices.AppendSeq(slices.Clone(older), maps.Keys(old)))
	return made + more, err
}

// putInPlaceOf publishes the last one of the segments that together say what others do,
// which it supersedes: only now, when all are durable. Where these are too many for one,
// empty ones that follow it supersede the rest. It returns the number of segments it
// has made.
func (r *Repository) putInPlaceOf(ctx context.Context, b *index.Builder, replaced []index.SegmentName) (made int, err error) {
	for ; made == 0 || len(replaced) > 0; made++ {
		n := min(len(replaced), r.mostSuperseded)
		for _, name := range replaced[:n] {
			b.Supersede(name)
		}
		if err := r.putBuilt(ctx, b); err != nil {
			return made, err
		}
		b, replaced = new(index.Builder), replaced[n:]
	}
	return made, nil
}

func largestFirst(segments map[index.SegmentName]*index.Segment) []index.SegmentName {
	return slices.SortedFunc(maps.Keys(segments), func(a, b index.SegmentName) int {
		return cmp.Or(cmp.Compare(segments[b].Len(), segments[a].Len()), bytes.Compare(a[:], b[:]))
	})
}

func addSegment(b *index.Builder, s *index.Segment, gone func(pack [32]byte) bool) (added int, err error) {
	byPack := map[[32]byte][]index.Entry{}
	packs := map[[32]byte]index.Pack{}
	for _, p := range s.Packs() {
		if !gone(p.Name) {
			packs[p.Name] = p
		}
	}
	for e, err := range s.All() {
		if err != nil {
			return 0, err
		}
		if _, kept := packs[e.Pack.Name]; kept {
			byPack[e.Pack.Name] = append(byPack[e.Pack.Name], e)
			added++
		}
	}
	for name, p := range packs {
		b.AddPack(p, byPack[name])
	}
	return added, nil
}

func (r *Repository) putBuilt(ctx context.Context, b *index.Builder) error {
	plain, err := b.Encode()
	if err != nil {
		return fmt.Errorf("encode an index segment: %w", err)
	}
	id, err := r.randomHex(16)
	if err != nil {
		return err
	}
	return r.createSealed(ctx, seal.Segment, "index/"+id, plain)
}

// RemoveSegments removes segments that others have superseded.
func (r *Repository) RemoveSegments(ctx context.Context, names []index.SegmentName) error {
	for _, n := range names {
		if err := r.store.Delete(ctx, index.ObjectName(n)); err != nil {
			return err
		}
	}
	return nil
}

// HasPack reports whether a pack is stored.
func (r *Repository) HasPack(ctx context.Context, name [32]byte) (bool, error) {
	return r.HasObject(ctx, pack.ObjectName(name))
}

// HasObject reports whether an object is stored.
func (r *Repository) HasObject(ctx context.Context, object string) (bool, error) {
	_, err := r.store.Stat(ctx, object)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// RemovePack removes a pack that nothing needs, and returns its size; 0 if it was gone.
func (r *Repository) RemovePack(ctx context.Context, name [32]byte) (size int64, err error) {
	info, err := r.store.Stat(ctx, pack.ObjectName(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return info.Size, r.store.Delete(ctx, pack.ObjectName(name))
}

// RemoveSnapshot removes a purged snapshot, and then its marks.
func (r *Repository) RemoveSnapshot(ctx context.Context, n Name) error {
	if err := r.store.Delete(ctx, snapshotObject(n)); err != nil {
		return err
	}
	for _, folder := range []string{"trash/", "pins/", "damaged/"} {
		for info, err := range r.store.List(ctx, folder+n.String()) {
			if err == nil {
				err = r.store.Delete(ctx, info.Name)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Moved is the same for as long as no collection, and nobody else, has replaced
// segments or condemned packs: blobs are where they were.
func (r *Repository) Moved(ctx context.Context) (state string, err error) {
	numbers, err := r.condemnedNumbers(ctx)
	if err != nil {
		return "", err
	}
	names, err := r.segmentNames(ctx)
	if err != nil {
		return "", err
	}
	segments := slices.SortedFunc(maps.Keys(names), func(a, b index.SegmentName) int { return bytes.Compare(a[:], b[:]) })
	return fmt.Sprint(numbers, segments), nil
}

// Kept is a snapshot as a collection sees it.
type Kept struct {
	Listed
	Purged bool
}

// Everything reads all snapshots that are stored, purged ones too. Unlike
// Snapshots it fails if one of them cannot be read.
func (r *Repository) Everything(ctx context.Context) ([]Kept, error) {
	names, _, err := r.snapshotNames(ctx)
	if err != nil {
		return nil, err
	}
	marks, err := r.marks(ctx)
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, n := range names {
		s, err := r.Snapshot(ctx, n)
		if errors.Is(err, ErrNoSnapshot) {
			continue // a tombstone
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Kept{Listed{s, marks.pinned(n), marks.deleted(n)}, marks.purged(n)})
	}
	return all, nil
}
