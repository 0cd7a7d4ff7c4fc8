package files

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/internal/tree"
)

// survey makes the swap plan: it looks at what is current and what is staged,
// and changes nothing.
type survey struct {
	mount   string // for messages
	rules   *rules
	root    stat
	subpath []string        // the only path that changes; empty for all
	stay    map[string]bool // directories that hold what must not be touched, by path from the mount
	plan    swapPlan
}

// surveySwap compares the mount root with what is staged.
func surveySwap(mount string, r *rules, name string, subpath []string, root, staged int) (*swapPlan, error) {
	st, err := statAt(root, "")
	if err != nil {
		return nil, err
	}
	s := &survey{mount: mount, rules: r, root: st, subpath: subpath, stay: map[string]bool{}}
	at := &place{name: name}
	if len(r.patterns)+len(r.avoid)+len(r.nodes) > 0 {
		fd, err := openBeneath(root, nil)
		if err != nil {
			return nil, err
		}
		defer unix.Close(fd)
		if _, err := s.findStaying(fd, at); err != nil {
			return nil, err
		}
	}
	return &s.plan, s.directory(at, nil, root, staged)
}

// findStaying notes every directory beneath fd that holds something excluded or
// avoided, at whatever depth, and reports whether fd does.
func (s *survey) findStaying(fd int, at *place) (holds bool, err error) {
	names, err := readTypedNames(fd)
	if err == unix.ENOENT {
		return false, nil // it was removed a moment ago
	}
	if err != nil {
		return false, s.wrap(at, "", err)
	}
	for _, n := range names {
		if at.depth == 0 && isOurs(n.name) {
			continue
		}
		folder, err := isDirectory(fd, n)
		if err != nil {
			return false, s.wrap(at, n.name, err)
		}
		if s.rules.leftAt(fd, at, n.name, folder) {
			holds = true
			continue
		}
		if !folder || at.depth >= maxDepth {
			continue
		}
		below, err := s.descend(fd, at.child(n.name))
		if err != nil {
			return false, err
		}
		holds = holds || below
	}
	if holds && at.depth > 0 {
		s.stay[at.beneath("")] = true
	}
	return holds, nil
}

func (s *survey) descend(parent int, at *place) (bool, error) {
	fd, err := openDirectory(parent, at.name)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, s.wrap(at, "", err)
	}
	defer unix.Close(fd)
	return s.findStaying(fd, at)
}

// isDirectory asks the disk only where the listing does not tell.
func isDirectory(fd int, n dirent) (bool, error) {
	if n.kind != unix.DT_UNKNOWN {
		return n.kind == unix.DT_DIR, nil
	}
	st, err := statAt(fd, n.name)
	if err == unix.ENOENT {
		err = nil
	}
	return st.kind() == tree.Directory, err
}

func (s *survey) wrap(at *place, name string, err error) error {
	return fmt.Errorf("look at %s: %w", filepath.Join(s.mount, at.beneath(name)), err)
}

// directory plans for one directory that stays; staged is -1 if the snapshot
// does not have it.
func (s *survey) directory(at *place, path []string, current, staged int) error {
	d := stayer{Path: path, Made: staged < 0}
	var err error
	if d.Old, err = readDirectory(current); err != nil {
		return s.wrap(at, "", err)
	}
	// Above a subpath nothing is restored, not even attributes.
	above := len(path) < len(s.subpath)
	d.New = d.Old
	if !above && !d.Made {
		if d.New, err = readDirectory(staged); err != nil {
			return s.wrap(at, "", err)
		}
		d.New.keepIrrevocable(d.Old)
	}
	names, err := bothNames(current, staged)
	if err != nil {
		return s.wrap(at, "", err)
	}
	if above {
		names = []string{s.subpath[len(path)]}
	}
	number := len(s.plan.Directories)
	s.plan.Directories = append(s.plan.Directories, d)
	for _, name := range names {
		m, err := s.name(at, path, name, current, staged)
		if err != nil {
			return err
		}
		if m.Old != m.New {
			d.Moves = append(d.Moves, m)
		}
	}
	s.plan.Directories[number].Moves = d.Moves
	return nil
}

// bothNames returns the names of either directory, sorted.
func bothNames(current, staged int) ([]string, error) {
	var names []string
	for _, dir := range []int{current, staged} {
		if dir < 0 {
			continue
		}
		fd, err := openBeneath(dir, nil)
		if err != nil {
			return nil, err
		}
		some, err := readNames(fd)
		unix.Close(fd)
		if err != nil {
			return nil, err
		}
		names = append(names, some...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

var errInTheWay = errors.New("the snapshot has something other than a directory there, and here it holds what a restore must not touch (excluded, or in use by a service); move one of the two away")

// name plans for one name, or for the directories in it that stay.
func (s *survey) name(at *place, path []string, name string, current, staged int) (m move, err error) {
	m.Name = name
	now, err := lookFor(current, name)
	if err != nil {
		return m, s.wrap(at, name, err)
	}
	next := stat{}
	if staged >= 0 {
		if next, err = lookFor(staged, name); err != nil {
			return m, s.wrap(at, name, err)
		}
	}
	if now.ino != 0 && s.rules.leftAt(current, at, name, now.kind() == tree.Directory) {
		return m, nil
	}
	below := append(slices.Clone(path), name)
	above := len(below) < len(s.subpath)
	switch {
	case now.ino == 0 || !above && !s.stay[strings.Join(below, "/")]:
		m.Old, m.New = now.ino, next.ino
		m.OldMode, m.NewMode = closedMode(&now), closedMode(&next)
		if m.Old == m.New && m.Old != 0 {
			return m, s.wrap(at, name, errors.New("cannot be told from what is staged for it by its inode"))
		}
		return m, nil
	case now.kind() != tree.Directory:
		return m, s.wrap(at, name, unix.ENOTDIR)
	case next.ino != 0 && next.kind() != tree.Directory:
		return m, s.wrap(at, name, errInTheWay)
	}
	return m, s.below(at.child(name), below, current, staged, next.ino != 0)
}

// closedMode returns the mode of a directory that we may not move as it is.
func closedMode(st *stat) uint32 {
	if unix.Geteuid() != 0 && st.kind() == tree.Directory && st.mode&0o200 == 0 {
		return st.mode
	}
	return 0
}

func (s *survey) below(at *place, path []string, current, staged int, has bool) error {
	deeper, err := openDirectory(current, at.name)
	if err != nil {
		return s.wrap(at, "", err)
	}
	defer unix.Close(deeper)
	beside := -1
	if has {
		if beside, err = openDirectory(staged, at.name); err != nil {
			return s.wrap(at, "", err)
		}
		defer unix.Close(beside)
	}
	return s.directory(at, path, deeper, beside)
}

// lookFor is statAt with the zero stat where there is no such name.
func lookFor(dir int, name string) (stat, error) {
	st, err := statAt(dir, name)
	if err == unix.ENOENT {
		return stat{}, nil
	}
	return st, err
}
