package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"holdfast/index"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

func bytesReader(data []byte) io.ReaderAt { return bytes.NewReader(data) }

// Rebuilt says what RebuildIndex did.
type Rebuilt struct {
	Packs    int      `json:"packs"`
	Segments int      `json:"segments"`
	Replaced int      `json:"replaced"`          // segments that were removed
	Skipped  []string `json:"skipped,omitempty"` // packs whose directory cannot be read: kept as the old index has them
}

// RebuildIndex makes the index anew from the packs, which know what they hold.
// New segments are durable before the old ones, which they supersede, are
// removed; interrupted anywhere, the index is complete. Of a pack whose directory
// cannot be read it keeps what the old index says.
func (r *Repository) RebuildIndex(ctx context.Context, now func() time.Time, progress func(packs, of int)) (done Rebuilt, err error) {
	session, err := r.Begin(ctx, RebuildIndex, now)
	if err != nil {
		return done, err
	}
	defer func() { err = joinEnd(ctx, err, session) }()
	return session.RebuildIndex(ctx, nil, progress)
}

// RebuildIndex is Repository.RebuildIndex within a session. It leaves out the
// packs of these names.
func (s *Session) RebuildIndex(ctx context.Context, without map[[32]byte]bool, progress func(packs, of int)) (done Rebuilt, err error) {
	r := s.repo
	old, err := r.segmentNames(ctx)
	if err != nil {
		return done, err
	}
	stored, err := r.everyPack(ctx, old)
	if err != nil {
		return done, err
	}
	b := segmentBuilder{repo: r, done: &done}
	unreadable := map[[32]byte]bool{}
	for i, name := range sortedNames(stored) {
		if without[name] {
			continue
		}
		object := pack.ObjectName(name)
		info, placed, err := pack.ReadDirectory(r.keys, object, stored[name], storage.At(ctx, r.store, object))
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		if err != nil {
			done.Skipped = append(done.Skipped, object)
			unreadable[name] = true
			continue
		}
		done.Packs++
		progress(i+1, len(stored))
		if err := b.add(ctx, indexPack(info), indexEntries(&pack.Pack{Info: info, Blobs: placed})); err != nil {
			return done, err
		}
	}
	kept, err := r.EntriesOf(ctx, unreadable)
	if err != nil {
		return done, err
	}
	for _, entries := range kept {
		if err := b.add(ctx, entries[0].Pack, entries); err != nil {
			return done, err
		}
	}
	// The last segment, even an empty one, supersedes: only now do the old ones go.
	made, err := r.putInPlaceOf(ctx, &b.builder, slices.Collect(maps.Keys(old)))
	done.Segments += made
	if err != nil {
		return done, err
	}
	return done, r.dropSegments(ctx, old, &done)
}

// everyPack returns the packs that are listed, and those that the index names, these
// segments of it in any case, and that are there all the same: a listing may be stale.
func (r *Repository) everyPack(ctx context.Context, segments map[index.SegmentName]bool) (map[[32]byte]int64, error) {
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return nil, err
	}
	indexed, err := r.IndexedPacks(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.addPacksOf(ctx, segments, indexed); err != nil {
		return nil, err
	}
	for name, p := range indexed {
		if _, listed := stored[name]; listed {
			continue
		}
		there, err := r.HasPack(ctx, name)
		if err != nil {
			return nil, err
		}
		if there {
			stored[name] = int64(p.Size)
		}
	}
	return stored, nil
}

// addPacksOf adds the packs of those segments that the listing by which the index was
// read did not show.
func (r *Repository) addPacksOf(ctx context.Context, segments map[index.SegmentName]bool, packs map[[32]byte]index.Pack) error {
	for n := range segments {
		object := index.ObjectName(n)
		if r.isLoaded(n) {
			continue
		}
		s, err := r.openSegment(ctx, object, 0)
		_, damaged := errors.AsType[*DamagedError](err)
		switch {
		case damaged, errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		}
		for _, p := range s.Packs() {
			packs[p.Name] = p
		}
	}
	return nil
}

// PretendIndex is RebuildIndex for this Repository's eyes only: nothing is
// stored. It serves a dry run.
func (r *Repository) PretendIndex(ctx context.Context) error {
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return err
	}
	indexed, err := r.IndexedPacks(ctx)
	if err != nil {
		return err
	}
	var b index.Builder
	for name, size := range stored {
		object := pack.ObjectName(name)
		if _, ok := indexed[name]; ok {
			continue
		}
		info, placed, err := pack.ReadDirectory(r.keys, object, size, storage.At(ctx, r.store, object))
		if err == nil {
			b.AddPack(indexPack(info), indexEntries(&pack.Pack{Info: info, Blobs: placed}))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	plain, err := b.Encode()
	if err != nil {
		return fmt.Errorf("encode an index segment: %w", err)
	}
	unindexed, err := index.OpenMemory(plain)
	if err != nil {
		return err
	}
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	r.local.pretended = true
	r.index.Add(unindexed)
	return nil
}

// EntriesOf returns what the index says of some packs.
func (r *Repository) EntriesOf(ctx context.Context, packs map[[32]byte]bool) (map[[32]byte][]index.Entry, error) {
	if len(packs) == 0 {
		return nil, nil
	}
	return ListedAnew(func() (map[[32]byte][]index.Entry, error) { return r.entriesOf(ctx, packs) })
}

func (r *Repository) entriesOf(ctx context.Context, packs map[[32]byte]bool) (map[[32]byte][]index.Entry, error) {
	found := map[[32]byte][]index.Entry{}
	segments, err := r.currentSegments(ctx)
	if err != nil {
		return nil, err
	}
	for _, segment := range segments {
		for e, err := range segment.All() {
			if err != nil {
				return nil, fmt.Errorf("read the index: %w", err)
			}
			if packs[e.Pack.Name] {
				found[e.Pack.Name] = append(found[e.Pack.Name], e)
			}
		}
	}
	return found, nil
}

// segmentBuilder fills one segment after the other.
type segmentBuilder struct {
	repo    *Repository
	builder index.Builder
	entries int // in builder
	done    *Rebuilt
}

func (b *segmentBuilder) add(ctx context.Context, p index.Pack, entries []index.Entry) error {
	b.builder.AddPack(p, entries)
	if b.entries += len(entries); b.entries < rebuildEntries {
		return nil
	}
	return b.put(ctx)
}

func (b *segmentBuilder) put(ctx context.Context) error {
	err := b.repo.putBuilt(ctx, &b.builder)
	b.builder, b.entries = index.Builder{}, 0
	b.done.Segments++
	return err
}

// rebuildEntries bounds what one rebuilt segment holds.
const rebuildEntries = 1 << 20

func (r *Repository) dropSegments(ctx context.Context, old map[index.SegmentName]bool, done *Rebuilt) error {
	for n := range old {
		if err := r.store.Delete(ctx, index.ObjectName(n)); err != nil {
			return err
		}
		done.Replaced++
	}
	if dir := r.cacheDir(); dir != "" {
		_ = os.RemoveAll(dir) // where it cannot be, it goes on telling of what the new segments name too
	}
	_, err := r.refreshIndex(ctx)
	return err
}

func sortedNames(packs map[[32]byte]int64) [][32]byte {
	names := make([][32]byte, 0, len(packs))
	for n := range packs {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return names
}

func joinEnd(ctx context.Context, err error, s *Session) error {
	if endErr := s.End(context.WithoutCancel(ctx)); err == nil {
		return endErr
	}
	return err
}
