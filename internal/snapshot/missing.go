package snapshot

import (
	"path"
	"slices"
	"strings"

	"holdfast/repo"
)

// Missing returns what s should hold of a service beneath subpath, and does not;
// "" is all of the service.
func Missing(s *repo.Snapshot, service, subpath string) []repo.Loss {
	var missing []repo.Loss
	at := path.Join(service, subpath)
	for _, held := range s.Services {
		if held.Name == service {
			missing = append(missing, held.Losses...)
		}
	}
	if subpath == "" {
		return missing
	}
	return slices.DeleteFunc(missing, func(l repo.Loss) bool { return l.Path != at && !strings.HasPrefix(l.Path, at+"/") })
}
