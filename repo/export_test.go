package repo

import (
	"context"
	"io"

	"holdfast/index"
)

// KeepSegmentsOnDisk lets r behave as if its index were larger than what it keeps
// in memory.
func (r *Repository) KeepSegmentsOnDisk() { r.local.room = 0 }

// SupersedeAtMost lets the segments that r makes supersede so many at most, as if that
// were all that one can.
func (r *Repository) SupersedeAtMost(n int) { r.mostSuperseded = n }

// AheadBytes is what AheadLeft is while nothing is read ahead.
const AheadBytes = aheadBytes

// AheadLeft is how much may be read ahead yet.
func (r *Repository) AheadLeft() int { return int(r.ahead.left.Load()) }

// OpenAllSegments opens what a collection reads.
func (r *Repository) OpenAllSegments(ctx context.Context) (map[index.SegmentName]*index.Segment, error) {
	return r.currentSegments(ctx)
}

// PutRandomSegment publishes a segment of so many blobs in a pack that is not there.
func (r *Repository) PutRandomSegment(ctx context.Context, entries int) error {
	p := index.Pack{Epoch: 1, Size: 1 << 20}
	if _, err := io.ReadFull(r.random, p.Name[:]); err != nil {
		return err
	}
	all := make([]index.Entry, entries)
	for i := range all {
		all[i] = index.Entry{Offset: 48, Sealed: 100, Length: 84, Number: uint32(i)}
		if _, err := io.ReadFull(r.random, all[i].ID[:]); err != nil {
			return err
		}
	}
	var b index.Builder
	b.AddPack(p, all)
	return r.putBuilt(ctx, &b)
}
