package redis

import (
	"strings"
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// Whoever writes between the mark and the release is noticed; what the server does
// by itself is not.
func TestWritesAfterTheMarkAreNoticed(t *testing.T) {
	server := testserver.Redis(t)
	a := dial(t, server, "", 0)
	for _, c := range []struct {
		name  string
		after func()
		moved bool
	}{
		{"nobody", func() {}, false},
		{"a reader", func() { a.must("GET", "k"); a.must("INFO") }, false},
		{"a key that expires", func() {
			for a.must("DBSIZE") != int64(1) {
			}
		}, false},
		{"a writer", func() { a.must("SET", "k", "other") }, true},
		{"a writer into another database", func() { a.must("SELECT", 1); a.must("SET", "k", "x"); a.must("SELECT", 0) }, true},
		{"one who deletes", func() { a.must("DEL", "k") }, true},
	} {
		a.must("FLUSHALL")
		a.must("SET", "k", "v")
		opened, err := Engine.Source(serviceAt(server.URL("", "0")))
		if err != nil {
			t.Fatal(err)
		}
		s, memory := opened.(*source), enginetest.NewMemory()
		if err := s.Prepare(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		if c.name == "a key that expires" {
			a.must("SET", "brief", "v", "PX", 300)
		}
		if _, err := s.Mark(t.Context(), memory); err != nil {
			t.Fatal(err)
		}
		c.after()
		moved, err := s.Moved(t.Context())
		if err != nil || (moved != "") != c.moved || c.moved && !strings.HasSuffix(moved, "databases: 1") {
			t.Errorf("%s, after the mark: %q, %v", c.name, moved, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
