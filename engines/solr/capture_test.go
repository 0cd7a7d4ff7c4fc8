package solr

import (
	"errors"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

func uncommitted(t *testing.T, server *testserver.SolrServer) {
	w, other := newWorkbench(t, server, enginetest.Known), newWorkbench(t, server, enginetest.Empty)
	s := w.source(nil)
	w.must(w.Write(t.Context(), 1))
	_, err := s.Mark(t.Context(), w.memory)
	w.must(err)
	marked := w.dump()
	w.must(w.Write(t.Context(), 2)) // after the mark
	w.must(w.deliver(s, w.memory))
	other.restore(w)
	other.same(marked, "in the other core")
}

// briefly is a replication handler that keeps commits for three seconds only.
const briefly = `<requestHandler name="/replication" class="solr.ReplicationHandler">
	<str name="commitReserveDuration">00:00:03</str></requestHandler>`

func reserved(t *testing.T, server *testserver.SolrServer) {
	w, other := configured(t, server, withHandler(briefly)), newWorkbench(t, server, enginetest.Empty)
	marked := w.dump()
	s := w.source(func(s *source) { s.pingEvery = 100 * time.Millisecond })
	w.must(w.changes())
	time.Sleep(4 * time.Second) // more than the server grants
	w.must(w.changes())
	w.must(w.deliver(s, w.memory))
	other.restore(w)
	other.same(marked, "in the other core")
}

func pointLost(t *testing.T, server *testserver.SolrServer) {
	w, other := configured(t, server, withHandler(briefly)), newWorkbench(t, server, enginetest.Empty)
	s := w.source(func(s *source) { s.pingEvery = time.Hour })
	time.Sleep(4 * time.Second)
	w.must(w.changes())
	w.must(w.changes()) // the handler itself keeps the newest but one
	if err := w.deliver(s, w.memory); !errors.Is(err, engines.ErrPointLost) {
		t.Fatalf("a commit that is gone gives %v", err)
	}
	marked := w.dump()
	_, err := s.Mark(t.Context(), w.memory)
	w.must(err)
	w.must(w.deliver(s, w.memory))
	other.restore(w)
	other.same(marked, "marked again,")
}

func rewrittenWhileSent(t *testing.T, server *testserver.SolrServer) {
	w, other := newWorkbench(t, server, enginetest.Known), newWorkbench(t, server, enginetest.Empty)
	marked := w.dump()
	w.must(w.deliver(w.source(nil), &hooked{Sink: w.memory, hook: w.changes}))
	other.restore(w)
	other.same(marked, "in the other core")
}

func noReplication(t *testing.T, server *testserver.SolrServer) {
	w := configured(t, server, withHandler(`<requestHandler name="/replication" class="solr.SearchHandler"/>`))
	_, err := w.open(nil)
	w.says(err, w.name, "no replication handler", "solrconfig.xml")
}
