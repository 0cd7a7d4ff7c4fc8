package solr

import (
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// moved: whoever changes documents between the mark and the release is noticed,
// committed or not; commits and readers are not.
func moved(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	commit := func() error {
		return w.call(t.Context(), "/"+w.name+"/update", map[string][]string{"commit": {"true"}}, nil, nil)
	}
	delete := func() error {
		return w.call(t.Context(), "/"+w.name+"/update", nil, map[string]any{"delete": map[string]string{"query": "id:nobody"}}, nil)
	}
	for _, c := range []struct {
		name  string
		after func() error
		want  string
	}{
		{"nobody", func() error { return nil }, ""},
		{"a commit", commit, ""},
		{"a reader", func() error { _ = w.dump(); return nil }, ""},
		{"a writer", func() error { return w.Write(t.Context(), 1) }, "documents added: 2, deleted: 0, deletions by query: 0"},
		{"one who deletes", delete, "documents added: 0, deleted: 0, deletions by query: 1"},
	} {
		s := w.source(nil)
		w.must(c.after())
		if got, err := s.Moved(t.Context()); err != nil || got != c.want {
			t.Errorf("%s, after the mark: %q, %v; want %q", c.name, got, err, c.want)
		}
		w.must(s.Close())
	}
}
