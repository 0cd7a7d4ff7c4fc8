package files

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/engines"
)

// rules say what of a mount is left alone: neither read nor, by a restore, touched.
type rules struct {
	patterns []pattern
	// avoid holds Service.Avoid, as far as it lies in the mount: last name ->
	// paths counted from the mount.
	avoid map[string][]string
	// beside holds the directories of those paths, counted from the mount. What
	// another engine builds there for a restore is called .holdfast-…
	beside map[string]bool
	// nodes are the files of Service.Avoid that exist, whatever their names, each with
	// the path that led to it; "" where that may not be asked again.
	nodes map[node]string
	// guarded is set if there are files among them, not directories only: then any
	// name may lead to one of them, at any moment.
	guarded bool
}

// node is a file's identity while the machine runs.
type node struct{ dev, ino uint64 }

// newRules looks Service.Avoid up, without opening any of it. It is called for
// each walk, because a SQLite file's -wal and -journal come and go.
func newRules(s engines.Service, mount string, patterns []pattern) (*rules, error) {
	r := &rules{patterns: patterns, avoid: map[string][]string{}, beside: map[string]bool{}, nodes: map[node]string{}}
	mounts := spellings(mount)
	for _, avoided := range s.Avoid {
		for _, p := range spellings(avoided) {
			for _, m := range mounts {
				if m == p || strings.HasPrefix(m, p+"/") {
					return nil, fmt.Errorf("%s is or lies in %s, which is in use for something else; take the mount out of the configuration", mount, avoided)
				}
				if rest, ok := strings.CutPrefix(p, m+"/"); ok {
					r.avoid[path.Base(rest)] = append(r.avoid[path.Base(rest)], rest)
					r.beside[path.Dir(rest)] = true
				}
			}
			var st unix.Stat_t
			if err := unix.Stat(p, &st); err == nil {
				r.nodes[node{uint64(st.Dev), st.Ino}] = p
				r.guarded = r.guarded || st.Mode&unix.S_IFMT != unix.S_IFDIR
			}
		}
	}
	return r, nil
}

// avoids reports whether a file must not be opened, whatever its name.
//
// What SQLite keeps beside a database comes and goes, and the next file that is made
// often has its inode: so whether it is still there is asked again.
func (r *rules) avoids(n node) bool {
	p, ok := r.nodes[n]
	if !ok || !strings.HasSuffix(p, "-wal") && !strings.HasSuffix(p, "-shm") && !strings.HasSuffix(p, "-journal") {
		return ok
	}
	var st unix.Stat_t
	switch err := unix.Stat(p, &st); err {
	case nil:
		return n == node{uint64(st.Dev), st.Ino}
	case unix.ENOENT:
		return false
	}
	return true
}

// spellings returns the paths under which p may be met: as given, with the
// symlinks on the way to it resolved, and the file it leads to.
func spellings(p string) []string {
	p = filepath.Clean(p)
	all := []string{p}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
		all = append(all, filepath.Join(dir, filepath.Base(p)))
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		all = append(all, real)
	}
	return all
}

// isOurs reports whether a name at the top of a mount is Holdfast's own.
func isOurs(name string) bool { return name == hidden || strings.HasPrefix(name, captures) }

// stays reports whether name in the directory at must not be opened, whatever
// it is: it is known by its path alone.
func (r *rules) stays(at *place, name string) bool {
	if at.depth == 0 && isOurs(name) {
		return true
	}
	if strings.HasPrefix(name, hidden+"-") && r.beside[path.Dir(at.beneath(name))] {
		return true
	}
	paths := r.avoid[name]
	if len(paths) == 0 {
		return false
	}
	own := at.beneath(name)
	for _, p := range paths {
		if p == own {
			return true
		}
	}
	return false
}

// excluded reports whether the patterns leave name in the directory at out.
func (r *rules) excluded(at *place, name string, folder bool) bool {
	return len(r.patterns) > 0 && excludedBy(r.patterns, at.elements(name), folder)
}

// left reports whether the thing is left alone for any reason.
func (r *rules) left(at *place, name string, folder bool) bool {
	return r.stays(at, name) || r.excluded(at, name, folder)
}

// leftAt is left for a name in the open directory dir, which may also be another
// name of a file that must not be opened.
func (r *rules) leftAt(dir int, at *place, name string, folder bool) bool {
	if r.left(at, name, folder) {
		return true
	}
	if len(r.nodes) == 0 {
		return false
	}
	st, err := statAt(dir, name)
	return err == nil && r.avoids(st.node)
}
