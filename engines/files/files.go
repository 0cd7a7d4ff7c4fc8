package files

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Engine answers to file:/absolute/path.
var Engine = engines.Engine{
	Name:    "files",
	Schemes: []string{"file"},
	Grain:   engines.Coarse,
	Source:  newSource,
	Target:  newTarget,
}

const (
	// hidden is the directory at the top of a mount in which restores work. It is
	// never part of a snapshot.
	hidden = ".holdfast"
	// window is the number of names of one directory that are looked at together;
	// their entries are held at the same time.
	window = 256
	// maxDepth bounds recursion. A path of PATH_MAX bytes has at most 2,048 names.
	maxDepth = 4096
)

func newSource(s engines.Service) (engines.Source, error) {
	mount, err := mountPath(s)
	if err != nil {
		return nil, err
	}
	patterns, err := parsePatterns(s.Exclude)
	if err != nil {
		return nil, err
	}
	return &source{
		name:   s.Name,
		path:   mount,
		unheld: s.Unheld,
		now:    time.Now,
		open:   func() (int, error) { return openRoot(mount) },
		rules:  func() (*rules, error) { return newRules(s, mount, patterns) },
		clock:  startClock,
		follow: startWatch,
		whole:  openSubvolume,
	}, nil
}

func newTarget(s engines.Service, token string) (engines.Target, error) {
	mount, err := mountPath(s)
	if err != nil {
		return nil, err
	}
	patterns, err := parsePatterns(s.Exclude)
	if err != nil {
		return nil, err
	}
	if err := engines.CheckToken(token); err != nil {
		return nil, err
	}
	subpath, err := splitSubpath(s.Subpath)
	if err != nil {
		return nil, err
	}
	return &target{service: s, path: mount, token: token, subpath: subpath, patterns: patterns}, nil
}

// mountPath returns the absolute path that s stands for.
func mountPath(s engines.Service) (string, error) {
	if !tree.ValidName(s.Name) || s.Name == hidden {
		return "", fmt.Errorf("%q is not a name that can stand in a snapshot", s.Name)
	}
	u := s.URL
	switch {
	case u == nil || u.Scheme != "file":
		return "", fmt.Errorf("want file:/absolute/path, found %v", u)
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("%s names the host %s; want file:/absolute/path, a directory of this machine", u, u.Host)
	case !path.IsAbs(u.Path) || strings.ContainsRune(u.Path, 0):
		return "", fmt.Errorf("%s is not absolute; want file:/absolute/path", u)
	}
	mount := filepath.Clean(u.Path)
	if mount == "/" {
		return "", fmt.Errorf("%s, the root of the machine, cannot be a mount; name the directories that hold data", u)
	}
	return mount, nil
}

// splitSubpath returns the names of which a path beneath the mount consists.
func splitSubpath(p string) ([]string, error) {
	p = strings.Trim(p, "/")
	if p == "" {
		return nil, nil
	}
	names := strings.Split(p, "/")
	for i, name := range names {
		if !tree.ValidName(name) || i == 0 && name == hidden {
			return nil, fmt.Errorf("path %q: %q cannot be restored from a snapshot", p, name)
		}
	}
	if len(names) > maxDepth {
		return nil, fmt.Errorf("path of %d names, more than %d", len(names), maxDepth)
	}
	return names, nil
}
