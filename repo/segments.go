package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

const (
	// The local copy is made anew when so many segments, or a quarter of what it
	// holds and at least so many entries, are not in it.
	copySegments = 64
	copyEntries  = 1 << 18
	// inMemory bounds the segments kept decrypted, in bytes: as many entries as there
	// can be without a copy. Of more, a filter tells what is not in them, and the rest
	// is read where it lies, a frame to be opened for each blob.
	inMemory = copyEntries * index.EntrySize
)

// localIndex is what this process knows of the index: the local copy and the
// segments that are not in it. All is disposable; the truth is in the storage.
type localIndex struct {
	dir  string // of copies, by repository; "" for none
	room int    // for segments kept decrypted, in bytes: inMemory

	mu        sync.Mutex
	loaded    bool
	pretended bool // by PretendIndex: nothing is read anew
	spoiled   bool // the copy's file is damaged, and cannot be removed
	copy      *index.Copy
	// within are the segments of which the copy has all that counts; it is restricted
	// if it has more.
	within     map[index.SegmentName]bool
	restricted bool
	overlay    map[index.SegmentName]*index.Segment
	bad        map[string]error // segments that cannot be read, by object
}

// cacheDir is where the local copy of the index is, and nothing else.
func (r *Repository) cacheDir() string {
	if r.local.dir == "" {
		return ""
	}
	return filepath.Join(r.local.dir, r.ID(), "index")
}

// needIndex loads the index when it is first asked for: much is done without it.
func (r *Repository) needIndex(ctx context.Context) error {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	if r.local.loaded {
		return nil
	}
	_, err := r.loadLocked(ctx)
	return err
}

// Refresh reads what others have added to the index since.
func (r *Repository) Refresh(ctx context.Context) error {
	_, err := r.refreshIndex(ctx)
	return err
}

// refreshIndex brings the index up to date and reports whether anything was new.
func (r *Repository) refreshIndex(ctx context.Context) (changed bool, err error) {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	return r.loadLocked(ctx)
}

func (r *Repository) loadLocked(ctx context.Context) (changed bool, err error) {
	l := &r.local
	if l.pretended {
		return false, nil
	}
	names, fresh, err := r.listOverlay(ctx)
	if err != nil {
		return false, err
	}
	changed = !l.loaded || !maps.EqualFunc(fresh, l.overlay, func(a, b *index.Segment) bool { return a == b })
	l.loaded, l.overlay = true, fresh
	if r.copyPays() {
		r.rebuildCopy(ctx, names)
	}
	return changed, r.index.Replace(l.copy, slices.Collect(maps.Values(l.overlay))...)
}

// maxListings is how often the index is listed because a segment that was
// listed was gone when it was to be read: what took its place came later, and may
// have been missed. It is bounded, because a listing may be stale.
const maxListings = 5

// ListedAnew reads all segments, and again where one that was listed has been joined
// to others before it was read to its end.
func ListedAnew[T any](read func() (T, error)) (T, error) {
	for n := 1; ; n++ {
		result, err := read()
		if n == maxListings || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, index.ErrNoCopy) {
			return result, err
		}
	}
}

// listOverlay lists the segments and opens those that are not in the copy.
func (r *Repository) listOverlay(ctx context.Context) (names map[index.SegmentName]bool, fresh map[index.SegmentName]*index.Segment, err error) {
	for range maxListings {
		if names, err = r.segmentNames(ctx); err != nil {
			return nil, nil, err
		}
		r.openLocalCopy(ctx, names)
		var gone bool
		if fresh, gone, err = r.openOverlay(ctx, names); !gone || err != nil {
			break
		}
	}
	return names, fresh, err
}

func (r *Repository) segmentNames(ctx context.Context) (map[index.SegmentName]bool, error) {
	names := map[index.SegmentName]bool{}
	for info, err := range r.store.List(ctx, "index") {
		if err != nil {
			return nil, fmt.Errorf("list the index: %w", err)
		}
		n, err := index.ParseObjectName(info.Name)
		if err != nil {
			continue // belongs to nobody
		}
		names[n] = true
	}
	return names, nil
}

// openOverlay opens the segments that are not within the copy, and reports whether
// some of them were gone. One that cannot be read is put aside: what it told may
// still be found, or is missing by name.
func (r *Repository) openOverlay(ctx context.Context, names map[index.SegmentName]bool) (current map[index.SegmentName]*index.Segment, gone bool, err error) {
	l := &r.local
	l.bad = map[string]error{}
	overlay := map[index.SegmentName]*index.Segment{}
	var damaged *DamagedError
	for n := range names {
		if l.within[n] {
			continue
		}
		s := l.overlay[n]
		if s == nil {
			s, err = r.openSegmentFor(ctx, overlay, index.ObjectName(n))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				gone = true // superseded and removed since it was listed
				continue
			case errors.As(err, &damaged):
				l.bad[damaged.Object] = damaged.Err
				continue
			case err != nil:
				return nil, false, err
			}
		}
		overlay[n] = s
	}
	for _, s := range overlay {
		if l.copy != nil && !l.restricted && slices.ContainsFunc(s.Superseded(), l.copy.Contains) {
			r.restrictCopy(ctx, names)
			return r.openOverlay(ctx, names)
		}
	}
	return index.Current(overlay), gone, nil
}

// openSegment opens a segment to be read through once, in memory if it takes no more
// than room bytes there; else nothing of its entries is kept. It returns a
// *DamagedError if the object is not the segment it must be.
func (r *Repository) openSegment(ctx context.Context, object string, room int) (*index.Segment, error) {
	return r.openSegmentBy(ctx, object, room, func(sealed *seal.Reader) (*index.Segment, error) {
		s, err := index.OpenSegment(sealed, sealed.Size())
		sealed.KeepNone()
		return s, err
	})
}

// openSegmentFor opens a segment to look blobs up in, beside those of overlay.
func (r *Repository) openSegmentFor(ctx context.Context, overlay map[index.SegmentName]*index.Segment, object string) (*index.Segment, error) {
	room := r.local.room
	for _, s := range overlay {
		room -= s.Held()
	}
	return r.openSegmentBy(ctx, object, room, func(sealed *seal.Reader) (*index.Segment, error) {
		return index.OpenFiltered(sealed, sealed.Size())
	})
}

// openSegmentBy opens a segment in memory if it has room there, else where it
// lies by the given function.
func (r *Repository) openSegmentBy(ctx context.Context, object string, room int, byReading func(*seal.Reader) (*index.Segment, error)) (*index.Segment, error) {
	info, err := r.store.Stat(ctx, object)
	if err != nil {
		return nil, err
	}
	var s *index.Segment
	if info.Size <= int64(room) {
		var plain []byte
		if plain, err = r.readWhole(ctx, seal.Segment, object, info.Size); err != nil {
			return nil, err
		}
		s, err = index.OpenMemory(plain)
	} else {
		var sealed *seal.Reader
		if sealed, err = r.keys.OpenReader(seal.Segment, object, info.Size, storage.At(context.WithoutCancel(ctx), r.store, object)); err == nil {
			s, err = byReading(sealed)
		}
	}
	err = r.orDamaged(ctx, err)
	var epoch *seal.EpochError
	if errors.Is(err, index.ErrDamaged) || errors.Is(err, seal.ErrDamaged) || errors.Is(err, seal.ErrVersion) || errors.As(err, &epoch) ||
		errors.Is(err, storage.ErrUnreadable) {
		return nil, &DamagedError{Object: object, Err: err}
	}
	return s, err
}

// addSegment lets what was just published be found.
func (r *Repository) addSegment(ctx context.Context, object string) error {
	n, err := index.ParseObjectName(object)
	if err != nil {
		return err
	}
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	s, err := r.openSegmentFor(ctx, r.local.overlay, object)
	if errors.Is(err, fs.ErrNotExist) { // somebody has joined it to others already
		_, err = r.loadLocked(ctx)
		return err
	}
	if err != nil {
		return fmt.Errorf("open the new segment %s: %w", object, err)
	}
	r.local.overlay[n] = s
	r.index.Add(s)
	return nil
}

// consult asks the index. Where a segment that is read where it lies has been joined to
// others and removed, or the local copy turns out to be damaged, the index is read anew
// and asked again.
func consult[T any](r *Repository, ask func() (T, error)) (T, error) {
	for n := 0; ; n++ {
		answer, err := ask()
		switch {
		case n == maxListings:
			return answer, err
		case errors.Is(err, index.ErrNoCopy):
			err = r.withoutCopy()
		case errors.Is(err, fs.ErrNotExist):
			_, err = r.refreshIndex(context.Background())
		default:
			return answer, err
		}
		if err != nil {
			return answer, err
		}
	}
}

func (r *Repository) has(id blob.ID) (bool, error) {
	return consult(r, func() (bool, error) { return r.index.Has(id) })
}

// Copies returns where the index knows the blob, lowest depth first.
func (r *Repository) Copies(id blob.ID) ([]index.Entry, error) {
	return consult(r, func() ([]index.Entry, error) { return r.index.Lookup(id) })
}

// IndexedPacks returns the packs that index segments name.
func (r *Repository) IndexedPacks(ctx context.Context) (map[[32]byte]index.Pack, error) {
	if err := r.needIndex(ctx); err != nil {
		return nil, err
	}
	known, err := consult(r, r.index.Packs)
	packs := make(map[[32]byte]index.Pack, len(known))
	for _, p := range known {
		packs[p.Name] = p
	}
	return packs, err
}

// isLoaded reports whether the index was read with this segment, or could not be.
func (r *Repository) isLoaded(n index.SegmentName) bool {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	return r.local.within[n] || r.local.overlay[n] != nil || r.local.bad[index.ObjectName(n)] != nil
}

// BadSegments yields the index segments that cannot be read.
func (r *Repository) BadSegments() iter.Seq2[string, error] {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	return maps.All(maps.Clone(r.local.bad))
}

// currentSegments opens all segments that count, to be read through once; those that
// cannot be read are told by BadSegments.
func (r *Repository) currentSegments(ctx context.Context) (map[index.SegmentName]*index.Segment, error) {
	return r.allSegments(ctx, map[string]error{})
}

// allSegments opens all segments that count, to be read through once, as many in
// memory as there is room for, and files those that cannot be read under bad. Another
// may be gone when it is read: fs.ErrNotExist.
func (r *Repository) allSegments(ctx context.Context, bad map[string]error) (current map[index.SegmentName]*index.Segment, err error) {
	for range maxListings {
		clear(bad)
		var gone bool
		if current, gone, err = r.listedSegments(ctx, bad); !gone || err != nil {
			break
		}
	}
	return current, err
}

func (r *Repository) listedSegments(ctx context.Context, bad map[string]error) (current map[index.SegmentName]*index.Segment, gone bool, err error) {
	names, err := r.segmentNames(ctx)
	if err != nil {
		return nil, false, err
	}
	all, room := map[index.SegmentName]*index.Segment{}, r.local.room
	for n := range names {
		object := index.ObjectName(n)
		s, err := r.openSegment(ctx, object, room)
		var damaged *DamagedError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = true
		case errors.As(err, &damaged):
			bad[object] = damaged.Err
		case err != nil:
			return nil, false, err
		default:
			all[n] = s
			room -= s.Held()
		}
	}
	return index.Current(all), gone, nil
}
