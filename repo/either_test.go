package repo_test

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/repo"
	"holdfast/repo/pack"
	"holdfast/repo/repotest"
)

// TestADifferenceFromEitherOfTwo: two hosts store the same content at the same time, as
// differences from unlike blobs, and what comes next is a difference from it. Where one of the two
// ends of its chain is lost, the other serves.
func TestADifferenceFromEitherOfTwo(t *testing.T) {
	store := repotest.New(t)
	content := func(version int) repotest.Files {
		dump := repotest.Dump(1, 300)
		copy(dump[4000:], fmt.Sprintf("version %d", version))
		return repotest.Files{"dump": dump}
	}
	ends := []*repo.Snapshot{repotest.Put(t, repotest.Open(t, store), content(0), nil), repotest.Put(t, repotest.Open(t, store), content(1), nil)}
	beside, err := repotest.Begin(t.Context(), repotest.Open(t, store))
	if err != nil {
		t.Fatal(err)
	}
	one := repotest.Put(t, repotest.Open(t, store), content(2), ends[0])
	other, err := beside.Write(t.Context(), content(2), ends[1])
	if err == nil {
		err = errors.Join(beside.Commit(t.Context(), other), beside.End(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	next := repotest.Put(t, repotest.Open(t, store), content(3), one)
	r := repotest.Open(t, store)
	ways, err := r.Copies(entry(t, r, one, "dump").Content.Refs[0].ID)
	if err != nil || len(ways) != 2 || ways[0].Depth != 1 || ways[1].Depth != 1 || ways[0].Bases[0] == ways[1].Bases[0] {
		t.Fatalf("%+v, %v", ways, err)
	}
	for _, way := range ways {
		copies, err := r.Copies(way.Bases[0])
		if err != nil || len(copies) != 1 {
			t.Fatalf("%+v, %v", copies, err)
		}
		left := store.Clone()
		if err := left.Delete(t.Context(), pack.ObjectName(copies[0].Pack.Name)); err != nil {
			t.Fatal(err)
		}
		repotest.MustHold(t, repotest.Open(t, left), next, content(3))
	}
}
