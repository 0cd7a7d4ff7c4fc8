// Package trace walks what snapshots need: every blob, list and listing, each
// once, however many snapshots share it.
//
//	root -> listing (a stream) -> entries -> their streams -> lists -> blobs
//
// What it knows is kept in bits by a blob's place in a catalog of the index: a
// repository of a hundred million blobs takes some dozen megabytes. A visitor is
// asked about each blob; what it does with that (mark what is to stay, name what
// is damaged) is its own business.
//
// Invariants:
//
//  1. A blob, list or listing beneath which all was found well is not visited
//     again; one that was not is, so that each snapshot it hurts learns of it.
//  2. Memory depends on the number of blobs the index knows, a bit for each and
//     question, and neither on that of snapshots nor of files.
package trace

import (
	"context"
	"crypto/sha256"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// Visitor is asked about what a walk comes across.
type Visitor interface {
	// Blob reports whether the blob can be read. Its copies have the places from
	// (inclusive) to (exclusive) in the catalog; where these are equal it has none.
	// An error ends the walk.
	Blob(at Where, id blob.ID, from, to int) (well bool, err error)
	// Unreadable is told that a list or listing cannot be read though all its blobs
	// are well. What it returns, unless nil, ends the walk.
	Unreadable(at Where, object string, err error) error
}

// Walker remembers what it has walked, over several snapshots.
type Walker struct {
	repo    *repo.Repository
	catalog *repo.Catalog
	visitor Visitor

	// By place of a blob's first copy.
	blobs    Bits // was found well
	lists    Bits // as a list of refs: all that it lists is well
	listings Bits // as a whole listing: all beneath is well
	walking  Bits // is needed to walk: a list, or a part of a listing
	streams  streams
}

// New returns a walker that has walked nothing.
func New(r *repo.Repository, c *repo.Catalog, v Visitor) *Walker {
	n := int(c.Len())
	return &Walker{repo: r, catalog: c, visitor: v, blobs: NewBits(n), lists: NewBits(n), listings: NewBits(n),
		walking: NewBits(n), streams: make(streams, min(streamSlots, n+1))}
}

// Walk walks what a snapshot with this root needs, and reports whether all of it is
// well.
func (w *Walker) Walk(ctx context.Context, root tree.Entry) (well bool, err error) {
	return w.directory(ctx, root, Where{})
}

// Reached are the blobs that were found well, by the place of their first copy.
func (w *Walker) Reached() Bits { return w.blobs }

// Walking are those among the Reached that are lists, or parts of listings: what is
// read to walk a snapshot, in contrast to what is read to restore it.
func (w *Walker) Walking() Bits { return w.walking }

func (w *Walker) directory(ctx context.Context, e tree.Entry, at Where) (well bool, err error) {
	key := streamKey(e.Content)
	place, known, err := w.walked(e.Content, key)
	if known || err != nil {
		return known, err
	}
	if well, err = w.stream(ctx, e.Content, at, true); !well || err != nil {
		return false, err // a listing that cannot be read is not walked
	}
	for child, err := range w.repo.Children(ctx, e) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err != nil {
			return false, w.visitor.Unreadable(at, "listing "+e.Content.Refs[0].ID.Short(), err)
		}
		good, err := w.child(ctx, child, Where{&at, child.Name})
		if err != nil {
			return false, err
		}
		well = well && good
	}
	if !well {
		return false, nil
	}
	if place >= 0 {
		w.listings.Set(place)
	} else {
		w.streams.add(key)
	}
	return true, nil
}

func (w *Walker) child(ctx context.Context, e tree.Entry, at Where) (bool, error) {
	if e.Type == tree.Directory {
		return w.directory(ctx, e, at)
	}
	return w.stream(ctx, e.Content, at, false)
}

// walked reports whether all beneath a listing is known to be well. place is where
// to note that: of a listing that is one blob; else -1, and the table of streams.
func (w *Walker) walked(s tree.Stream, key [32]byte) (place int, known bool, err error) {
	if len(s.Refs) == 0 {
		return -1, true, nil
	}
	if len(s.Refs) > 1 || s.Refs[0].Level > 0 {
		return -1, w.streams.has(key), nil
	}
	from, to, err := w.catalog.Find(s.Refs[0].ID)
	if err != nil || from == to {
		return -1, false, err
	}
	return from, w.listings.Has(from), nil
}

// stream reports whether every blob of s is well.
func (w *Walker) stream(ctx context.Context, s tree.Stream, at Where, listing bool) (bool, error) {
	well := true
	for _, ref := range s.Refs {
		good, err := w.ref(ctx, ref, at, listing)
		if err != nil {
			return false, err
		}
		well = well && good
	}
	return well, nil
}

// ref reports whether the blob of ref, and all that it lists, is well.
func (w *Walker) ref(ctx context.Context, ref tree.Ref, at Where, listing bool) (well bool, err error) {
	from, to, err := w.catalog.Find(ref.ID)
	if err != nil {
		return false, err
	}
	if from == to || !w.blobs.Has(from) {
		if well, err = w.visitor.Blob(at, ref.ID, from, to); !well || err != nil {
			return false, err
		}
		if from < to {
			w.blobs.Set(from)
		}
	}
	if from < to && (listing || ref.Level > 0) {
		w.walking.Set(from)
	}
	if ref.Level == 0 || from < to && w.lists.Has(from) {
		return true, nil
	}
	list, err := w.repo.List(ctx, ref)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		return false, w.visitor.Unreadable(at, "list "+ref.ID.Short(), err)
	}
	if well, err = w.stream(ctx, tree.Stream{Refs: list}, at, listing); well && err == nil && from < to {
		w.lists.Set(from)
	}
	return well, err
}

// Where is a path inside a snapshot; the zero Where is its root.
type Where struct {
	in   *Where
	name string
}

// String returns the path, "" for the root.
func (w Where) String() string {
	if w.in == nil {
		return w.name
	}
	if above := w.in.String(); above != "" {
		return above + "/" + w.name
	}
	return w.name
}

// streams remembers some streams: a table of fixed size, in which one that comes
// later takes the place of an earlier one. To forget one costs another walk.
type streams [][32]byte

const streamSlots = 1 << 16

func streamKey(s tree.Stream) [32]byte {
	if len(s.Refs) == 1 && s.Refs[0].Level == 0 {
		return [32]byte{} // not used
	}
	return sha256.Sum256(tree.AppendRefs(nil, s.Refs))
}

func (s streams) slot(key [32]byte) *[32]byte {
	return &s[(int(key[0])|int(key[1])<<8|int(key[2])<<16)%len(s)]
}

func (s streams) add(key [32]byte)      { *s.slot(key) = key }
func (s streams) has(key [32]byte) bool { return *s.slot(key) == key }
