package repo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"holdfast/index"
	"holdfast/internal/blob"
	"holdfast/internal/tree"
)

// Survey finds out what of snapshots can be read, from the index alone but for
// the listings and lists on the way. One goroutine uses it.
//
// Subtrees that are whole are remembered, so that what snapshots have in common
// is walked once: as many as fit into a bounded memory; what does not is walked
// again.
type Survey struct {
	repo     *Repository
	unusable func(*index.Entry) error
	whole    map[blob.ID]struct{} // lists and listings beneath which all is well
	// Missed is told each blob of which no copy can be read; may be nil.
	Missed *Missed
}

// surveyed bounds Survey.whole, in ids; it is about 80 MB.
const surveyed = 1 << 20

// NewSurvey returns a survey that counts a copy of a blob only where unusable
// returns nil; what it returns tells why. It is asked about every copy of a blob that
// snapshots need for itself, also where another one serves.
func (r *Repository) NewSurvey(unusable func(*index.Entry) error) *Survey {
	return &Survey{repo: r, unusable: unusable, whole: map[blob.ID]struct{}{}}
}

// A lost function is told each path of which something is lost, and why; "" is
// all that is walked.
type lost = func(path string, why error)

// Walk calls lost for all beneath e, which is found at path, and reports whether
// nothing is. A listing that is lost stands for all beneath it. The error is
// about the walking itself.
func (v *Survey) Walk(ctx context.Context, e tree.Entry, path string, lost lost) (whole bool, err error) {
	if e.Type != tree.Directory {
		return v.stream(ctx, e.Content, path, lost)
	}
	if len(e.Content.Refs) == 0 || len(e.Content.Refs) == 1 && v.knows(e.Content.Refs[0].ID) {
		return true, nil
	}
	if whole, err = v.stream(ctx, e.Content, path, lost); err != nil || !whole {
		return false, err
	}
	for child, err := range v.repo.Children(ctx, e) {
		if err != nil {
			return false, v.unreadable(ctx, path, err, lost)
		}
		well, err := v.Walk(ctx, child, strings.TrimPrefix(path+"/"+child.Name, "/"), lost)
		if err != nil {
			return false, err
		}
		whole = whole && well
	}
	if whole && len(e.Content.Refs) == 1 {
		v.remember(e.Content.Refs[0].ID)
	}
	return whole, nil
}

// unreadable tells lost about what reading ran into, if it is that.
func (v *Survey) unreadable(ctx context.Context, path string, err error, lost lost) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lost(path, err)
	return nil
}

func (v *Survey) knows(id blob.ID) bool {
	_, ok := v.whole[id]
	return ok
}

func (v *Survey) remember(id blob.ID) {
	if len(v.whole) == surveyed {
		clear(v.whole)
	}
	v.whole[id] = struct{}{}
}

// stream looks at every blob of s; each object that is to blame is told once.
func (v *Survey) stream(ctx context.Context, s tree.Stream, path string, lost lost) (whole bool, err error) {
	whole = true
	for _, ref := range s.Refs {
		well, err := v.ref(ctx, ref, path, lost)
		if err != nil {
			return false, err
		}
		whole = whole && well
	}
	return whole, nil
}

func (v *Survey) ref(ctx context.Context, ref tree.Ref, path string, lost lost) (whole bool, err error) {
	why, err := v.Readable(ref.ID)
	if err != nil {
		return false, err
	}
	if why != nil {
		lost(path, why)
		return false, nil
	}
	if ref.Level == 0 || v.knows(ref.ID) {
		return true, nil
	}
	list, err := v.repo.List(ctx, ref)
	if err != nil {
		return false, v.unreadable(ctx, path, err, lost)
	}
	whole, err = v.stream(ctx, tree.Stream{Refs: list}, path, lost)
	if whole && err == nil {
		v.remember(ref.ID)
	}
	return whole, err
}

// Readable returns why a blob cannot be read; nil if it can: some copy of it is
// usable, and so are its bases in copies of lower depth.
func (v *Survey) Readable(id blob.ID) (why, err error) {
	return (&reading{Survey: v}).below(id, anyDepth)
}

// Replaceable is Readable of a copy that serves whatever one of this depth does: what
// is a difference from that cannot do with a deeper one.
func (v *Survey) Replaceable(id blob.ID, depth uint8) (why, err error) {
	return (&reading{Survey: v}).below(id, int(depth)+1)
}

// reading is one search for a copy that can be read. It remembers what it has found
// of each base: several copies of each make more ways through a chain than can be
// gone.
type reading struct {
	*Survey
	found map[sought]error // why no such copy can be read, or nil
}

// sought are the copies of a blob whose depth lies below the bound.
type sought struct {
	id    blob.ID
	bound int
}

func (v *reading) below(id blob.ID, bound int) (why, err error) {
	if why, ok := v.found[sought{id, bound}]; ok {
		return why, nil
	}
	why, err = v.look(id, bound)
	if err == nil && bound < anyDepth {
		if v.found == nil {
			v.found = map[sought]error{}
		}
		v.found[sought{id, bound}] = why
	}
	return why, err
}

func (v *reading) look(id blob.ID, bound int) (why, err error) {
	copies, err := v.repo.Copies(id)
	if err != nil {
		return nil, err
	}
	for i := range copies {
		if int(copies[i].Depth) >= bound {
			continue
		}
		because, err := v.copyReadable(&copies[i])
		if because == nil || err != nil {
			for ; i < len(copies) && bound == anyDepth; i++ {
				_ = v.unusable(&copies[i])
			}
			return nil, err
		}
		why = because
	}
	if why == nil {
		why = &MissingError{Object: "blob " + id.Short()}
	}
	if v.Missed != nil {
		v.Missed.Add(id)
	}
	return why, nil
}

func (v *reading) copyReadable(e *index.Entry) (why, err error) {
	if why := v.unusable(e); why != nil {
		return why, nil
	}
	for _, base := range e.Bases {
		if why, err := v.below(base, int(e.Depth)); why != nil || err != nil {
			return why, err
		}
	}
	return nil, nil
}

// remains builds, of one directory, what is left.
type remains struct {
	survey *Survey
	writer *Writer
	lost   lost
}

// PutRemains stores e without what the survey finds lost of it, and returns it. A
// subtree that is whole is taken over, of a directory that lost something a new
// listing is put. It is false where nothing is left: a file that lost a part, or a
// directory whose listing is lost.
func (w *Writer) PutRemains(ctx context.Context, v *Survey, e tree.Entry, path string, lost lost) (tree.Entry, bool, error) {
	return remains{v, w, lost}.entry(ctx, e, path)
}

func (m remains) directory(ctx context.Context, e tree.Entry, path string) (tree.Entry, bool, error) {
	quiet := func(string, error) {}
	whole, err := m.survey.Walk(ctx, e, path, quiet)
	if whole || err != nil {
		return e, true, err
	}
	if whole, err = m.survey.stream(ctx, e.Content, path, m.lost); !whole || err != nil {
		return tree.Entry{}, false, err
	}
	left, err := m.writer.PutDirectory(ctx, e, tree.Stream{}, m.children(ctx, e, path))
	var listing *lostListing
	if errors.As(err, &listing) {
		m.lost(path, listing.why)
		return tree.Entry{}, false, nil
	}
	return left, true, err
}

// lostListing ends the putting of a directory whose listing turns out unreadable
// half way.
type lostListing struct{ why error }

func (l *lostListing) Error() string { return fmt.Sprintf("its listing cannot be read: %v", l.why) }

func (m remains) children(ctx context.Context, e tree.Entry, path string) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for child, err := range m.survey.repo.Children(ctx, e) {
			if err != nil {
				if ctx.Err() == nil {
					err = &lostListing{err}
				}
				yield(child, err)
				return
			}
			left, ok, err := m.entry(ctx, child, strings.TrimPrefix(path+"/"+child.Name, "/"))
			if (ok || err != nil) && !yield(left, err) {
				return
			}
		}
	}
}

func (m remains) entry(ctx context.Context, e tree.Entry, path string) (tree.Entry, bool, error) {
	if e.Type == tree.Directory {
		return m.directory(ctx, e, path)
	}
	told := false
	whole, err := m.survey.Walk(ctx, e, path, func(path string, why error) {
		if !told { // a file is lost once, however many of its blobs are
			m.lost(path, why)
		}
		told = true
	})
	return e, whole, err
}
