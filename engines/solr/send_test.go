package solr

import (
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// TestAParentThatCannotBeRead: everything is fetched then, and the snapshot taken.
func TestAParentThatCannotBeRead(t *testing.T) {
	lost := tree.Stream{Refs: []tree.Ref{{Size: 100}}}
	sink := enginetest.NewMemory().Next([]tree.Entry{{Name: "search", Type: tree.Directory, Content: lost}})
	s := sending{source: &source{place: place{service: "search"}}, sink: sink}
	parent, err := s.open(t.Context())
	if err != nil || len(parent.Content.Refs) > 0 || len(s.parent.index) > 0 {
		t.Errorf("%v; of the parent there is %v, %v", err, parent, s.parent)
	}
}
