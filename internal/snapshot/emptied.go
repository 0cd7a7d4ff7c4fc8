package snapshot

import (
	"fmt"
	"slices"

	"holdfast/repo"
)

// emptied warns of a service that held something in the parent snapshot and holds nothing
// now, which is how a disk looks that is not mounted, and a database that was dropped and
// made anew. It may be right, so it only warns. "" where there is nothing to warn of.
func (c *Creation) emptied(k *capture, parent repo.Name) string {
	i := slices.IndexFunc(c.Lineage, func(l repo.Listed) bool { return l.Name == parent })
	if i < 0 || c.sources != nil || !k.result.Empty {
		return ""
	}
	for _, before := range c.Lineage[i].Services {
		if before.Name != k.part.Name || before.Engine != k.part.Engine.Name || before.Subpath != "" || before.Empty {
			continue
		}
		if k.part.Mount {
			return fmt.Sprintf("%s is empty, and held %d entries in the snapshot before, %s: is its disk mounted?",
				k.part.URL.Path, before.Count-1, parent) // the mount itself is counted
		}
		return fmt.Sprintf("it is empty, and was not in the snapshot before, %s: is it the right one?", parent)
	}
	return ""
}
