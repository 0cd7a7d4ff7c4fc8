package files

import (
	"context"
	"iter"
	"slices"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// earlier goes through a directory's listing in an earlier tree, in step with
// somebody who asks for names in ascending order.
//
// The listing is pushed at us and we pull from it, which costs two changes of
// goroutine each time: so it comes in batches.
type earlier struct {
	next  func() ([]tree.Entry, bool)
	stop  func()
	batch []tree.Entry // not asked for yet
	// differs is set once the two listings cannot be equal any more.
	differs bool
	err     error // why the listing could not be read further
}

// openEarlier opens the listing of directory; nil has none.
func openEarlier(ctx context.Context, content engines.Content, directory *tree.Entry) *earlier {
	if directory == nil {
		return &earlier{differs: true}
	}
	l := &earlier{}
	l.next, l.stop = iter.Pull(l.batches(content.Children(ctx, *directory)))
	return l
}

// batches yields the entries by up to a window at a time. Each batch is a slice
// of its own, because items refer to what is in it.
func (l *earlier) batches(entries iter.Seq2[tree.Entry, error]) iter.Seq[[]tree.Entry] {
	return func(yield func([]tree.Entry) bool) {
		var batch []tree.Entry
		for e, err := range entries {
			if err != nil {
				l.err, l.differs = err, true
				break
			}
			if batch = append(batch, e); len(batch) == window {
				if !yield(batch) {
					return
				}
				batch = make([]tree.Entry, 0, window)
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// head returns the next entry, nil at the end.
func (l *earlier) head() *tree.Entry {
	if len(l.batch) == 0 && l.stop != nil {
		var more bool
		if l.batch, more = l.next(); !more {
			l.close()
		}
	}
	if len(l.batch) == 0 {
		return nil
	}
	return &l.batch[0]
}

// find returns the entry of that name. Entries with lower names are passed over.
func (l *earlier) find(name string) *tree.Entry {
	for e := l.head(); e != nil; e = l.head() {
		if e.Name > name {
			break
		}
		l.batch = l.batch[1:]
		if e.Name == name {
			return e
		}
		l.differs = true
	}
	l.differs = true
	return nil
}

// finish is called after the last find; the listings are equal if differs is
// still not set then.
func (l *earlier) finish() {
	if l.head() != nil {
		l.differs = true
	}
	l.close()
}

// close may be called at any time.
func (l *earlier) close() {
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// sameEntry reports whether a and b would be stored as the same bytes.
func sameEntry(a, b *tree.Entry) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Mode == b.Mode &&
		a.UID == b.UID && a.GID == b.GID && a.User == b.User && a.Group == b.Group &&
		a.MTime == b.MTime && a.CTime == b.CTime && a.Inode == b.Inode &&
		a.Link == b.Link && a.Device == b.Device && a.Target == b.Target &&
		a.Size == b.Size && a.Entries == b.Entries && a.Suspect == b.Suspect &&
		slices.EqualFunc(a.Xattrs, b.Xattrs, func(x, y tree.Xattr) bool {
			return x.Name == y.Name && string(x.Value) == string(y.Value)
		}) &&
		slices.Equal(a.Holes, b.Holes) && a.Content.Equal(b.Content)
}
