package files

import (
	"slices"
	"strings"
)

// place is where a directory stands: its name, and the directory that it is in.
// However deep the tree, each directory costs its own name only; paths are put
// together when somebody is to read them.
type place struct {
	parent *place // nil for the mount itself
	name   string // of the mount: the service's; "" above several services
	depth  int    // 0 for the mount itself
}

func (p *place) child(name string) *place {
	return &place{parent: p, name: name, depth: p.depth + 1}
}

// path returns the path of name in p as it stands in the snapshot:
// uploads/2026/a.jpg. An empty name stands for p itself.
func (p *place) path(name string) string { return strings.Join(p.elements(name), "/") }

// beneath returns the path of name in p, counted from the mount.
func (p *place) beneath(name string) string { return strings.Join(p.elements(name)[1:], "/") }

// elements returns the names on the way to name in p, the service's first.
func (p *place) elements(name string) []string {
	names := make([]string, 0, p.depth+2)
	if name != "" {
		names = append(names, name)
	}
	for ; p != nil && p.name != ""; p = p.parent {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return names
}
