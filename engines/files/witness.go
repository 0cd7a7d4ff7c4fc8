package files

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Moved names what was touched since the remainder was read (snapshot's witness): as
// far as the kernel tells, which it does not where every file had to be looked at.
// Writes through mappings are none of its events.
func (s *source) Moved(context.Context) (string, error) {
	if s.watch == nil || s.result == nil {
		return "", nil
	}
	touched, err := s.watch.take()
	if err != nil {
		return "", nil // a mount that cannot be watched says so already
	}
	rules, err := s.rules()
	if err != nil {
		return "", err
	}
	names := touched.names(&place{name: s.name}, rules)
	if len(names) == 0 {
		return "", nil
	}
	const most = 5
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return "touched: " + strings.Join(names, ", ") + more, nil
}

// names lists the paths at the tips of the tree that the rules do not leave alone. A
// directory is touched on the way to its names, too.
func (t *touch) names(at *place, r *rules) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(t.beneath)) {
		next := t.beneath[name]
		if folder := next.all || len(next.beneath) > 0; r.left(at, name, folder) {
			continue
		}
		if len(next.beneath) == 0 {
			all = append(all, at.path(name))
			continue
		}
		all = append(all, next.names(at.child(name), r)...)
	}
	return all
}
