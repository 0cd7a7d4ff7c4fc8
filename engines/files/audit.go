package files

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// audit compares a mount with what was stored of it, by stat, and names what had
// changed before the hold and was not noticed: the kernel tells of every change
// but for those through mappings that it was too late, or not allowed, to find.
//
// It runs after the release, when everything may change again: so it judges by
// ctime, which nobody can set. What is newer than the hold tells nothing.
type audit struct {
	content engines.Content
	rules   *rules
	root    stat
	held    tree.Time // changes before this are in the snapshot, or missed
	missed  []string
}

const maxMissed = 100 // names; more are counted

func (a *audit) miss(at *place, name string) {
	a.missed = append(a.missed, at.path(name))
}

// directory compares the open directory with the entry that stands for it.
func (a *audit) directory(ctx context.Context, fd int, at *place, stored tree.Entry) error {
	if err := context.Cause(ctx); err != nil || len(a.missed) > maxMissed {
		return err
	}
	before := openEarlier(ctx, a.content, &stored)
	defer before.close()
	names, err := readNames(fd)
	if err != nil {
		return nil // the walk has named it
	}
	if at.depth > 0 && slices.Contains(names, cacheTagName) && isCache(fd) {
		return nil
	}
	// Names that went before the hold left their directory's times from before it. Looked
	// at now, these tell that none has gone since, until the names were read.
	st, err := statAt(fd, "")
	quiet := err == nil && st.ctime.Before(a.held)
	for _, name := range names {
		if quiet {
			for e := before.head(); e != nil && e.Name < name; e = before.head() {
				a.miss(at, e.Name)
				before.find(e.Name)
			}
		}
		if err := a.name(ctx, fd, at, name, before.find(name)); err != nil {
			return err
		}
	}
	for e := before.head(); quiet && e != nil; e = before.head() {
		a.miss(at, e.Name)
		before.find(e.Name)
	}
	return before.err
}

// name compares one name with the entry of it; nil where there is none.
func (a *audit) name(ctx context.Context, fd int, at *place, name string, stored *tree.Entry) error {
	if a.rules.stays(at, name) {
		return nil
	}
	st, err := statAt(fd, name)
	if err != nil {
		return nil
	}
	folder := st.kind() == tree.Directory
	if a.rules.excluded(at, name, folder) || a.rules.avoids(st.node) || st.kind() == 0 || st.crosses(&a.root) {
		return nil
	}
	if !stands(stored, &st) && st.ctime.Before(a.held) {
		if st, err = a.settled(fd, name); err == nil && !stands(stored, &st) && st.ctime.Before(a.held) {
			a.miss(at, name)
		}
		return nil
	}
	if !folder || !stands(stored, &st) || at.depth >= maxDepth {
		return nil // what another directory holds that came since may be older
	}
	below, err := openDirectory(fd, name)
	if err != nil {
		return nil
	}
	defer unix.Close(below)
	return a.directory(ctx, below, at.child(name), *stored)
}

// stands reports whether the entry stands for what is there.
func stands(stored *tree.Entry, st *stat) bool {
	if stored == nil || stored.Type != st.kind() {
		return false
	}
	return stored.Type == tree.Directory && stored.Inode == st.ino || stored.Type != tree.Directory && fits(stored, st)
}

// settled looks at name when no change of it is under way. A file that is being cut has
// its new size at once, and its new times when all is freed.
func (a *audit) settled(dir int, name string) (stat, error) {
	handle, st, err := openHandle(dir, name)
	if err != nil {
		return stat{}, err
	}
	defer unix.Close(handle)
	if st.kind() == tree.File && !a.rules.avoids(st.node) {
		if fd, err := openFile(handle); err == nil {
			awaitWrites(fd)
			_ = unix.Close(fd)
		}
	}
	return statAt(handle, "")
}

// audit adds to the result what was missed.
func (s *source) audit(ctx context.Context, content engines.Content) error {
	root, err := s.open()
	if err != nil {
		return nil // it was there under the hold
	}
	defer unix.Close(root)
	rules, err := s.rules()
	if err != nil {
		return err
	}
	st, err := statAt(root, "")
	if err != nil {
		return err
	}
	a := &audit{content: content, rules: rules, root: st, held: s.held}
	if err := a.directory(ctx, root, &place{name: s.name}, s.result.Entries[0]); err != nil {
		return fmt.Errorf("compare %s with what was stored: %w", s.path, err)
	}
	lost := map[string]bool{}
	for _, l := range s.result.Losses {
		lost[l.Path] = true
	}
	s.result.Apart = slices.DeleteFunc(a.missed, func(p string) bool { return lost[p] })
	return nil
}
