package environment

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Overlap says that two environments keep data in the same place: restoring one
// replaces the other's. Two machines may well use equal paths, so a file with
// overlaps is valid; a restore from one environment into another is not, where
// they overlap.
type Overlap struct {
	Name             string // of the service or mount
	OtherEnvironment string
	OtherName        string
	Place            string // the path or URL that they share
}

// String returns the overlap as a sentence without a full stop.
func (o Overlap) String() string {
	return fmt.Sprintf("%s is also %s of the environment %s (%s)", o.Name, o.OtherName, o.OtherEnvironment, o.Place)
}

// Overlaps lists what the environment called name shares with the other
// environments of the file. Paths are compared as they are written, without
// following symbolic links.
func (c *Config) Overlaps(name string) []Overlap {
	var own []place
	for _, e := range c.environments {
		if e.Name == name {
			own = e.places()
		}
	}
	var overlaps []Overlap
	for _, e := range c.environments {
		if e.Name == name {
			continue
		}
		for _, other := range e.places() {
			for _, p := range own {
				if at, ok := p.shares(other); ok {
					overlaps = append(overlaps, Overlap{Name: p.name, OtherEnvironment: e.Name, OtherName: other.name, Place: at})
				}
			}
		}
	}
	return overlaps
}

// place is where a service or mount keeps its data.
type place struct {
	name  string
	path  string   // of a mount or a file
	mount bool     // all beneath path belongs to it
	url   *url.URL // of a server
}

func (e Environment) places() []place {
	var places []place
	for _, s := range e.Services {
		if isFile(s.URL) {
			places = append(places, place{name: s.Name, path: s.URL.Path})
		} else {
			places = append(places, place{name: s.Name, url: s.URL})
		}
	}
	for _, m := range e.Mounts {
		places = append(places, place{name: m.Name, path: m.Path, mount: true})
	}
	return places
}

// shares reports whether restoring one of two places replaces the other, and
// where. A file inside a mount does no harm: a mount leaves out, and alone, the
// files that are services.
func (p place) shares(q place) (string, bool) {
	switch {
	case p.url != nil && q.url != nil:
		return p.url.Redacted(), sameServer(p.url, q.url)
	case p.url != nil || q.url != nil:
		return "", false
	case p.path == q.path:
		return p.path, true
	case p.mount && q.mount && within(p.path, q.path):
		return p.path, true
	case p.mount && q.mount && within(q.path, p.path):
		return q.path, true
	}
	return "", false
}

// sameServer compares two URLs of servers as they are written; a port that only
// one of them names may be the default.
func sameServer(a, b *url.URL) bool {
	samePort := a.Port() == b.Port() || a.Port() == "" || b.Port() == ""
	return samePort && strings.EqualFold(a.Hostname(), b.Hostname()) && sameDatabase(a, b) &&
		a.Query().Get("socket") == b.Query().Get("socket") && a.Query().Get("host") == b.Query().Get("host")
}

// sameDatabase compares the paths of two URLs. Without one, a Redis is all of its
// databases.
func sameDatabase(a, b *url.URL) bool {
	p, q := strings.Trim(a.Path, "/"), strings.Trim(b.Path, "/")
	return p == q || strings.HasPrefix(a.Scheme, "redis") && strings.HasPrefix(b.Scheme, "redis") && (p == "" || q == "")
}

// within reports whether path lies beneath directory.
func within(path, directory string) bool {
	rest, err := filepath.Rel(directory, path)
	return err == nil && rest != "." && filepath.IsLocal(rest)
}

// overlaps refuses an environment of which one part would replace another, or
// the repository.
func (d *document) overlaps(c *Config, f field, e Environment, lines map[string]int) {
	places := e.places()
	at := func(p place) field {
		kind := "services"
		if p.mount {
			kind = "mounts"
		}
		return field{path: join(join(f.path, kind), p.name), line: lines[p.name]}
	}
	for i, p := range places {
		for _, q := range places[:i] {
			if shared, ok := p.shares(q); ok {
				d.problem(at(p), "keeps its data where %s (line %d) does, in %s; each service and mount needs a place of its own",
					q.name, lines[q.name], shared)
			}
		}
		if p.path != "" && filepath.IsAbs(c.Repository) && (p.path == c.Repository || within(p.path, c.Repository)) {
			d.problem(at(p), "lies inside the repository %s; expected another place", c.Repository)
		}
	}
}

// SQLiteFiles lists, for all environments, the files that must never be opened
// but by SQLite: each database with its -wal, -shm and -journal, absolute, as the
// file names it and, where that differs, with symbolic links followed.
func (c *Config) SQLiteFiles() []string {
	var files []string
	for _, e := range c.environments {
		for _, s := range e.Services {
			if s.URL.Scheme != "sqlite" {
				continue
			}
			names := []string{s.URL.Path}
			if real := realPath(s.URL.Path); real != s.URL.Path {
				names = append(names, real)
			}
			for _, name := range names {
				files = append(files, name, name+"-wal", name+"-shm", name+"-journal")
			}
		}
	}
	return files
}

// realPath follows symbolic links, in the directory alone where the file itself
// does not exist.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if directory, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(directory, filepath.Base(path))
	}
	return path
}
