package snapshot

import (
	"fmt"
	"slices"

	"holdfast/repo"
)

// emptied warns of a mount that held something in the parent snapshot and holds
// nothing now, which is how a disk that is not mounted looks. A path that is not there
// at all fails the snapshot; an empty directory may be right, so it only warns. "" where
// there is nothing to warn of.
func (c *Creation) emptied(k *capture, parent repo.Name) string {
	i := slices.IndexFunc(c.Lineage, func(l repo.Listed) bool { return l.Name == parent })
	if i < 0 || !k.part.Mount || c.sources != nil || len(k.result.Entries) == 0 || k.result.Entries[0].Entries > 0 {
		return ""
	}
	for _, before := range c.Lineage[i].Services {
		held := before.Count - 1 // the mount itself is counted
		if before.Name == k.part.Name && before.Engine == k.part.Engine.Name && before.Subpath == "" && before.Count > 1 {
			return fmt.Sprintf("%s is empty, and held %d entries in the snapshot before, %s: is its disk mounted?",
				k.part.URL.Path, held, parent)
		}
	}
	return ""
}
