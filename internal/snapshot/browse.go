package snapshot

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Lookup returns the entry at a path of a snapshot, as ls shows it: "" is the
// root. A missing one is fs.ErrNotExist.
func Lookup(ctx context.Context, content engines.Content, root tree.Entry, at string) (tree.Entry, error) {
	e := root
	clean := strings.Trim(path.Clean("/"+at), "/")
	if clean == "" {
		return e, nil
	}
	var passed []string
	for _, name := range strings.Split(clean, "/") {
		if e.Type != tree.Directory {
			return tree.Entry{}, fmt.Errorf("%s is no directory: %w", strings.Join(passed, "/"), fs.ErrNotExist)
		}
		child, err := find(ctx, content, e, name)
		if err != nil {
			return tree.Entry{}, fmt.Errorf("%s: %w", strings.Join(append(passed, name), "/"), err)
		}
		passed = append(passed, name)
		e = child
	}
	return e, nil
}

func find(ctx context.Context, content engines.Content, directory tree.Entry, name string) (tree.Entry, error) {
	for e, err := range content.Children(ctx, directory) {
		if err != nil {
			return tree.Entry{}, err
		}
		if e.Name == name {
			return e, nil
		}
		if e.Name > name {
			break
		}
	}
	return tree.Entry{}, fs.ErrNotExist
}

// Walk yields all that lies beneath directory, each with its path beneath
// prefix, a directory before what it holds.
func Walk(ctx context.Context, content engines.Content, directory tree.Entry, prefix string) iter.Seq2[Walked, error] {
	return func(yield func(Walked, error) bool) { walk(ctx, content, directory, prefix, yield) }
}

// Walked is an entry and where it stands.
type Walked struct {
	Path string
	tree.Entry
}

func walk(ctx context.Context, content engines.Content, directory tree.Entry, prefix string, yield func(Walked, error) bool) bool {
	for e, err := range content.Children(ctx, directory) {
		if err != nil {
			yield(Walked{Path: prefix}, err)
			return false
		}
		at := path.Join(prefix, e.Name)
		if !yield(Walked{at, e}, nil) {
			return false
		}
		if e.Type == tree.Directory && !walk(ctx, content, e, at, yield) {
			return false
		}
	}
	return true
}

// Change says how one path differs between two snapshots.
type Change struct {
	Path string
	Kind ChangeKind
	Old  tree.Entry // zero if Added
	New  tree.Entry // zero if Removed
}

// ChangeKind is the kind of a Change.
type ChangeKind string

// The kinds.
const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified" // other content or another type
	Touched  ChangeKind = "touched"  // other attributes, the same content
)

// Diff yields what differs between two directories, in order of paths. Equal
// listings are not opened: it costs what differs.
func Diff(ctx context.Context, content engines.Content, from, to tree.Entry) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := differ{ctx, content, yield}
		d.directories(from, to, "")
	}
}

type differ struct {
	ctx     context.Context
	content engines.Content
	yield   func(Change, error) bool
}

// directories merges two listings; both are in order of names.
func (d differ) directories(from, to tree.Entry, prefix string) bool {
	if from.Content.Equal(to.Content) {
		return true
	}
	nextOld, stopOld := iter.Pull2(d.content.Children(d.ctx, from))
	defer stopOld()
	nextNew, stopNew := iter.Pull2(d.content.Children(d.ctx, to))
	defer stopNew()
	before, err, hasOld := nextOld()
	after, err2, hasNew := nextNew()
	for hasOld || hasNew {
		if err != nil || err2 != nil {
			if err == nil {
				err = err2
			}
			d.yield(Change{Path: prefix}, err)
			return false
		}
		switch {
		case !hasNew || hasOld && before.Name < after.Name:
			if !d.whole(Change{path.Join(prefix, before.Name), Removed, before, tree.Entry{}}, before) {
				return false
			}
			before, err, hasOld = nextOld()
		case !hasOld || after.Name < before.Name:
			if !d.whole(Change{path.Join(prefix, after.Name), Added, tree.Entry{}, after}, after) {
				return false
			}
			after, err2, hasNew = nextNew()
		default:
			if !d.pair(before, after, path.Join(prefix, after.Name)) {
				return false
			}
			before, err, hasOld = nextOld()
			after, err2, hasNew = nextNew()
		}
	}
	return true
}

// whole yields a change for e and all beneath it.
func (d differ) whole(c Change, e tree.Entry) bool {
	if !d.yield(c, nil) {
		return false
	}
	if e.Type != tree.Directory {
		return true
	}
	for child, err := range d.content.Children(d.ctx, e) {
		if err != nil {
			d.yield(Change{Path: c.Path}, err)
			return false
		}
		next := Change{Path: path.Join(c.Path, child.Name), Kind: c.Kind, Old: child}
		if c.Kind == Added {
			next.Old, next.New = tree.Entry{}, child
		}
		if !d.whole(next, child) {
			return false
		}
	}
	return true
}

func (d differ) pair(before, after tree.Entry, at string) bool {
	directories := before.Type == tree.Directory && after.Type == tree.Directory
	switch {
	case before.Type != after.Type,
		!directories && !before.Content.Equal(after.Content),
		!directories && before.Target != after.Target,
		!directories && before.Device != after.Device,
		!directories && before.Size != after.Size:
		if !d.yield(Change{at, Modified, before, after}, nil) {
			return false
		}
	case !sameAttributes(before, after):
		if !d.yield(Change{at, Touched, before, after}, nil) {
			return false
		}
	}
	return !directories || d.directories(before, after, at)
}

// sameAttributes compares what a restore would set; a directory's time changes
// with its contents and says nothing of its own.
func sameAttributes(a, b tree.Entry) bool {
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || len(a.Xattrs) != len(b.Xattrs) {
		return false
	}
	for i := range a.Xattrs {
		if a.Xattrs[i].Name != b.Xattrs[i].Name || string(a.Xattrs[i].Value) != string(b.Xattrs[i].Value) {
			return false
		}
	}
	return a.Type == tree.Directory || a.MTime == b.MTime
}
