package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Plan looks whether the mount, or what would be made instead, can be restored
// to. How much room is needed depends on holes and hard links, which only the
// listing tells, so Check looks at that; Plan says where it may become tight.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	directory, err := t.directoryOf(entries)
	if err != nil {
		return engines.Plan{}, err
	}
	r, err := newRules(t.service, t.path, t.patterns)
	if err != nil {
		return engines.Plan{}, err
	}
	root, err := openRoot(t.path)
	if errors.Is(err, unix.ENOENT) {
		return engines.Plan{Creates: true, Empties: len(t.subpath) == 0}, t.checkParent()
	}
	if err != nil {
		return engines.Plan{}, err
	}
	defer unix.Close(root)
	if err := writable(root, t.path); err != nil {
		return engines.Plan{}, err
	}
	if err := t.checkMounts(); err != nil {
		return engines.Plan{}, err
	}
	plan, err := t.replaces(ctx, r, root)
	if err != nil || len(t.subpath) > 0 {
		return plan, err
	}
	if free, err := freeRoom(t.path); err == nil && free.bytes < directory.Size {
		plan.Replaces += fmt.Sprintf("; the new data takes up to %s beside it and %s are free", humanize.IBytes(directory.Size), humanize.IBytes(free.bytes))
	}
	return plan, nil
}

func (t *target) checkParent() error {
	parent, err := openRoot(filepath.Dir(t.path))
	if err != nil {
		return fmt.Errorf("%s cannot be created in %s, which has to be there: %w", t.path, filepath.Dir(t.path), err)
	}
	defer unix.Close(parent)
	return writable(parent, filepath.Dir(t.path))
}

func writable(dir int, path string) error {
	if err := unix.Faccessat(dir, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s cannot be written to: %w", path, err)
	}
	return nil
}

// checkMounts refuses filesystems that are mounted beneath the mount, where a
// restore would have to move them: renaming a mount point does not work, and
// renaming what it is in would take it along. In an excluded directory at the
// top nothing moves, and above a subpath neither.
func (t *target) checkMounts() error {
	path, err := filepath.EvalSymlinks(t.path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	top := &place{name: t.service.Name}
	for _, mounted := range mountPoints(string(table)) {
		rest, ok := strings.CutPrefix(mounted, path+"/")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(rest, "/")
		if excludedBy(t.patterns, top.elements(first), true) {
			continue
		}
		only := strings.Join(t.subpath, "/")
		if only != "" && rest != only && !strings.HasPrefix(rest, only+"/") {
			continue
		}
		return fmt.Errorf("another filesystem is mounted at %s, inside %s; unmount it for the restore, or exclude %s/%s if it is no part of the data",
			mounted, t.path, t.service.Name, first)
	}
	return nil
}

// mountPoints returns the fifth field of each line of /proc/self/mountinfo, in
// which space, tab, newline and backslash stand as three octal digits.
func mountPoints(table string) []string {
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		points = append(points, unescapeOctal(fields[4]))
	}
	return points
}

func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && strings.Trim(s[i+1:i+4], "01234567") == "" {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// replaces counts what is there now.
func (t *target) replaces(ctx context.Context, r *rules, root int) (engines.Plan, error) {
	path := filepath.Join(append([]string{t.path}, t.subpath...)...)
	at := &place{name: t.service.Name}
	dir, err := openBeneath(root, nil)
	if err != nil {
		return engines.Plan{}, err
	}
	defer func() { unix.Close(dir) }()
	for i, name := range t.subpath {
		st, err := statAt(dir, name)
		last := i == len(t.subpath)-1
		switch {
		case err == unix.ENOENT:
			return engines.Plan{Creates: true}, nil
		case err != nil:
			return engines.Plan{}, fmt.Errorf("look at %s: %w", path, err)
		case last && st.kind() == tree.File:
			return engines.Plan{Replaces: fmt.Sprintf("file %s (%s)", path, humanize.IBytes(st.size))}, nil
		case last && st.kind() != tree.Directory:
			return engines.Plan{Replaces: fmt.Sprintf("%s %s", st.kind(), path)}, nil
		case st.kind() != tree.Directory:
			return engines.Plan{}, fmt.Errorf("%s: %s is a %s here, not a directory", path, at.path(name), st.kind())
		}
		below, err := openDirectory(dir, name)
		if err != nil {
			return engines.Plan{}, fmt.Errorf("look at %s: %w", path, err)
		}
		unix.Close(dir)
		dir, at = below, at.child(name)
	}
	c := &census{rules: r}
	if err := c.directory(ctx, dir, at); err != nil {
		return engines.Plan{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return engines.Plan{Empty: c.entries == 0,
		Replaces: fmt.Sprintf("directory %s (%s, %s)", path, filesText(c.files), humanize.IBytes(c.bytes))}, nil
}

// census counts what a restore would replace.
type census struct {
	rules                 *rules
	entries, files, bytes uint64
}

func (c *census) directory(ctx context.Context, fd int, at *place) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	names, err := readTypedNames(fd)
	if err == unix.ENOENT {
		return nil // it was removed a moment ago
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		st, err := statAt(fd, n.name)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return err
		}
		folder := st.kind() == tree.Directory
		if c.rules.left(at, n.name, folder) || c.rules.avoids(st.node) {
			continue
		}
		c.entries++
		switch {
		case !folder:
			c.files++
			if st.kind() == tree.File {
				c.bytes += st.size
			}
		case at.depth < maxDepth:
			if err := c.below(ctx, fd, at.child(n.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// below leaves out what we may not look at: it is counted for information only.
func (c *census) below(ctx context.Context, parent int, at *place) error {
	fd, err := openDirectory(parent, at.name)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	return c.directory(ctx, fd, at)
}

func filesText(n uint64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
