package trace_test

import (
	"bytes"
	"testing"

	"holdfast/internal/blob"
	"holdfast/repo/repotest"
	"holdfast/repo/trace"
)

// counter counts what it is asked about; bad is not well.
type counter struct {
	asked      map[blob.ID]int
	bad        blob.ID
	paths      []string
	unreadable int
}

func (c *counter) Blob(at trace.Where, id blob.ID, from, to int) (bool, error) {
	c.asked[id]++
	if id == c.bad || from == to {
		c.paths = append(c.paths, at.String())
		return false, nil
	}
	return true, nil
}

func (c *counter) Unreadable(trace.Where, string, error) error {
	c.unreadable++
	return nil
}

func TestAWalkAsksOnceAboutEachBlobThatSnapshotsShare(t *testing.T) {
	r := repotest.Open(t, repotest.New(t))
	first := repotest.Files{"dump.sql": repotest.Dump(1, 20_000), "image": repotest.Random(2, 3<<20)}
	second := repotest.Files{"dump.sql": bytes.Replace(first["dump.sql"], []byte("(500,"), []byte("(9999999,"), 1), "image": first["image"]}
	one := repotest.Put(t, r, first, nil)
	two := repotest.Put(t, r, second, one)
	catalog, err := r.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close()
	c := &counter{asked: map[blob.ID]int{}}
	w := trace.New(r, catalog, c)
	after := 0
	for _, s := range []bool{true, false, true} {
		snapshot := one
		if !s {
			snapshot = two
		}
		if well, err := w.Walk(t.Context(), snapshot.Root); !well || err != nil {
			t.Fatalf("well %v, %v", well, err)
		}
		if n := len(c.asked); after > 0 && n > after+10 {
			t.Errorf("the second snapshot has %d blobs of its own", n-after)
		}
		after = len(c.asked)
	}
	for id, n := range c.asked {
		if n != 1 {
			t.Errorf("asked %d times about %s", n, id.Short())
		}
	}
	indexed := map[blob.ID]bool{} // listings have two copies
	for row, err := range catalog.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		indexed[row.ID] = true
	}
	if w.Reached().Count() != len(c.asked) || len(c.asked) != len(indexed) {
		t.Errorf("%d blobs reached, %d asked about, %d in the index", w.Reached().Count(), len(c.asked), len(indexed))
	}
}

func TestDamageIsToldToEverySnapshotThatSharesIt(t *testing.T) {
	r := repotest.Open(t, repotest.New(t))
	files := repotest.Files{"good": []byte("good"), "hurt": repotest.Random(2, 10_000)}
	one := repotest.Put(t, r, files, nil)
	two := repotest.Put(t, r, files, one)
	catalog, err := r.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close()
	c := &counter{asked: map[blob.ID]int{}}
	for e, err := range r.Children(t.Context(), one.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == "hurt" {
			c.bad = e.Content.Refs[0].ID
		}
	}
	w := trace.New(r, catalog, c)
	for i := range 2 {
		if well, err := w.Walk(t.Context(), two.Root); well || err != nil || len(c.paths) != i+1 {
			t.Fatalf("well %v, %v, told of %q", well, err, c.paths)
		}
	}
	if c.paths[0] != "hurt" || c.unreadable > 0 {
		t.Errorf("told of %q", c.paths)
	}
}
