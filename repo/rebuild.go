package repo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"holdfast/index"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

func bytesReader(data []byte) io.ReaderAt { return bytes.NewReader(data) }

// Rebuilt says what RebuildIndex did.
type Rebuilt struct {
	Packs    int      `json:"packs"`
	Segments int      `json:"segments"`
	Replaced int      `json:"replaced"`          // segments that were removed
	Skipped  []string `json:"skipped,omitempty"` // packs whose directory cannot be read
}

// RebuildIndex makes the index anew from the packs, which know what they hold.
// New segments are durable before the old ones, which they supersede, are
// removed; interrupted anywhere, the index is complete.
func (r *Repository) RebuildIndex(ctx context.Context, now func() time.Time, progress func(packs, of int)) (done Rebuilt, err error) {
	session, err := r.Begin(ctx, RebuildIndex, now)
	if err != nil {
		return done, err
	}
	defer func() { err = joinEnd(ctx, err, session) }()
	old, err := r.segmentNames(ctx)
	if err != nil {
		return done, err
	}
	stored, err := r.StoredPacks(ctx)
	if err != nil {
		return done, err
	}
	var b index.Builder
	inBuilder := 0
	for i, name := range sortedNames(stored) {
		object := pack.ObjectName(name)
		info, placed, err := pack.ReadDirectory(r.keys, object, stored[name], storage.At(ctx, r.store, object))
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		if err != nil {
			done.Skipped = append(done.Skipped, object)
			continue
		}
		b.AddPack(indexPack(info), indexEntries(&pack.Pack{Info: info, Blobs: placed}))
		done.Packs++
		progress(i+1, len(stored))
		if inBuilder += len(placed); inBuilder >= rebuildEntries {
			if err := r.putSegment(ctx, &b, &done); err != nil {
				return done, err
			}
			b, inBuilder = index.Builder{}, 0
		}
	}
	// The last segment, even an empty one, supersedes: only now do the old ones go.
	for n := range old {
		b.Supersede(n)
	}
	if err := r.putSegment(ctx, &b, &done); err != nil {
		return done, err
	}
	return done, r.dropSegments(ctx, old, &done)
}

// rebuildEntries bounds what one rebuilt segment holds.
const rebuildEntries = 1 << 20

func (r *Repository) putSegment(ctx context.Context, b *index.Builder, done *Rebuilt) error {
	plain, err := b.Encode()
	if err != nil {
		return fmt.Errorf("encode an index segment: %w", err)
	}
	id, err := r.randomHex(16)
	if err != nil {
		return err
	}
	done.Segments++
	return r.createSealed(ctx, seal.Segment, "index/"+id, plain)
}

func (r *Repository) dropSegments(ctx context.Context, old map[index.SegmentName]bool, done *Rebuilt) error {
	for n := range old {
		if err := r.store.Delete(ctx, index.ObjectName(n)); err != nil {
			return err
		}
		done.Replaced++
	}
	if dir := r.cacheDir(); dir != "" {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the local copy of the index: %w", err)
		}
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
