package files

import (
	"context"
	"sync"

	"holdfast/internal/tree"
)

// maxGroups bounds how many hard-link groups are remembered at a time, each
// until its last link was met. Files of further groups are read once per link;
// nothing else changes.
const maxGroups = 1 << 16

// links remembers what was read of files with several names, so that each is
// read once.
type links struct {
	mu     sync.Mutex
	groups map[uint64]*group // by inode
}

// group is one file with several names. entry and state are set before done is
// closed; ok says that they were.
type group struct {
	left  uint32 // links not met yet; guarded by links.mu
	done  chan struct{}
	ok    bool
	entry tree.Entry
	state stat
}

func newLinks() *links { return &links{groups: map[uint64]*group{}} }

// meet tells that a link of the file st was met. The first to meet one gets a
// group to settle; later ones get what was read, if that still is the file's
// state, once it is there. A nil group and no entry mean: read it, tell nobody.
func (l *links) meet(ctx context.Context, st *stat) (first *group, read tree.Entry, ok bool) {
	l.mu.Lock()
	g := l.groups[st.ino]
	if g == nil {
		if len(l.groups) < maxGroups {
			g = &group{left: st.links - 1, done: make(chan struct{})}
			l.groups[st.ino] = g
		}
		l.mu.Unlock()
		return g, tree.Entry{}, false
	}
	if g.left--; g.left == 0 {
		delete(l.groups, st.ino)
	}
	l.mu.Unlock()
	select {
	case <-g.done:
	case <-ctx.Done():
		return nil, tree.Entry{}, false
	}
	return nil, g.entry, g.ok && g.state.sameState(st)
}

// settle gives those who wait for g what was read, or tells them that it could
// not be.
func (g *group) settle(e tree.Entry, st stat, ok bool) {
	if g == nil {
		return
	}
	e.Name = "" // each link has its own; this one shares memory with its neighbours
	g.entry, g.state, g.ok = e, st, ok
	close(g.done)
}
