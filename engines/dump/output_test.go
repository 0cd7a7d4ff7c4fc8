package dump_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"holdfast/engines/dump"
	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// put dumps two tables and returns the entries at the top of the snapshot.
func put(t *testing.T, sink *enginetest.Memory, at time.Time, streams map[string]string) []tree.Entry {
	t.Helper()
	out, err := dump.NewOutput(t.Context(), sink, "shop", at)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(path string) tree.Entry {
		e, err := out.Put(t.Context(), path, strings.NewReader(streams[path]))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	entries, err := out.Whole(t.Context(), dump.Script{
		Before: []tree.Entry{entry(dump.SchemaFile)},
		Tables: []tree.Entry{entry("tables/zebra.sql"), entry("tables/ant.sql")},
		After:  []tree.Entry{entry(dump.AfterFile)},
		Apart:  []tree.Entry{entry("privileges.sql")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

var streams = map[string]string{
	"schema.sql": "schema;", "tables/zebra.sql": "zebra;", "tables/ant.sql": "ant;", "after.sql": "after;", "privileges.sql": "grants;",
}

func TestTheJoinedFileFollowsTheScript(t *testing.T) {
	sink := enginetest.NewMemory()
	entries := put(t, sink, time.Unix(100, 0), streams)
	for path, want := range map[string]string{
		"shop.sql": "schema;zebra;ant;after;", "shop/tables/ant.sql": "ant;", "shop/privileges.sql": "grants;",
	} {
		if got, err := sink.File(t.Context(), entries, path); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestWhatDidNotChangeKeepsItsTime(t *testing.T) {
	sink := enginetest.NewMemory()
	parent := put(t, sink, time.Unix(100, 0), streams)
	changed := map[string]string{}
	for path, text := range streams {
		changed[path] = text
	}
	changed["tables/ant.sql"] = "another ant;"
	next := sink.Next(parent)
	entries := put(t, next, time.Unix(200, 0), changed)
	times := map[string]int64{}
	var walk func(prefix string, list []tree.Entry)
	walk = func(prefix string, list []tree.Entry) {
		for _, e := range list {
			times[prefix+e.Name] = e.MTime.Sec
			if e.Type == tree.Directory {
				var children []tree.Entry
				for child, err := range next.Children(t.Context(), e) {
					if err != nil {
						t.Fatal(err)
					}
					children = append(children, child)
				}
				walk(prefix+e.Name+"/", children)
			}
		}
	}
	walk("", entries)
	for path, want := range map[string]int64{
		"shop/tables/ant.sql": 200, "shop/tables": 200, "shop": 200, "shop.sql": 200,
		"shop/tables/zebra.sql": 100, "shop/schema.sql": 100, "shop/privileges.sql": 100,
	} {
		if times[path] != want {
			t.Errorf("%s is dated %d, want %d", path, times[path], want)
		}
	}
}

// TestAParentThatCannotBeRead: it costs the differences to it, not the snapshot.
func TestAParentThatCannotBeRead(t *testing.T) {
	parent := put(t, enginetest.NewMemory(), time.Unix(100, 0), streams)
	sink := enginetest.NewMemory().Next(parent) // which has nothing of it
	entries := put(t, sink, time.Unix(200, 0), streams)
	if got, err := sink.File(t.Context(), entries, "shop/tables/ant.sql"); err != nil || string(got) != "ant;" {
		t.Errorf("%q, %v", got, err)
	}
}
