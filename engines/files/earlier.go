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
type earlier struct {
	next func() (tree.Entry, error, bool)
	stop func()
	head *tree.Entry // the next one, not asked for yet
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
	l.next, l.stop = iter.Pull2(content.Children(ctx, *directory))
	l.advance()
	return l
}

// find returns the entry of that name. Entries with lower names are passed over.
func (l *earlier) find(name string) *tree.Entry {
	for l.head != nil && l.head.Name < name {
		l.differs = true
		l.advance()
	}
	if l.head == nil || l.head.Name != name {
		l.differs = true
		return nil
	}
	e := l.head
	l.advance()
	return e
}

func (l *earlier) advance() {
	l.head = nil
	e, err, ok := l.next()
	if err != nil {
		l.err, l.differs = err, true
	} else if ok {
		l.head = &e
	}
}

// finish is called after the last find; the listings are equal if differs is
// still not set then.
func (l *earlier) finish() {
	if l.head != nil {
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
