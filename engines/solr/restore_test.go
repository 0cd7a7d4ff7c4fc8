package solr

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

func notAllowed(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	w.capture()
	before := w.dump()
	target := w.target(func(s *engines.Service) {
		s.URL.RawQuery = "leader=127.0.0.1:" + strings.TrimPrefix(server.Leader, "127.0.0.1:")[:4]
	})
	_, err := target.Stage(t.Context(), w.entries, w.memory)
	w.says(err, "did not come", "-Dsolr.allowUrls=http://127.0.0.1:", "solr.xml")
	w.same(before, "after the refusal")
	w.must(target.Discard(t.Context()))
	w.clean()
}

// takenPort: whoever listens where the server is to fetch is not waited for, unless
// it is a restore.
func takenPort(t *testing.T, server *testserver.SolrServer) {
	listener, err := net.Listen("tcp", server.Leader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	var group errgroup.Group
	group.Go(func() error { return stranger.Serve(listener) })
	w := newWorkbench(t, server, enginetest.Known)
	w.capture()
	target := w.target(nil)
	_, err = target.Stage(t.Context(), w.entries, w.memory)
	w.says(err, server.Leader, "?leader=host:port")
	w.must(stranger.Close())
	_ = group.Wait()
	w.must(target.Discard(t.Context()))
	w.clean()
}

// passingPort: whoever hangs up there and is gone is waited for, as a restore that ends
// just now may do.
func passingPort(t *testing.T, server *testserver.SolrServer) {
	listener, err := net.Listen("tcp", server.Leader)
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.Go(func() error {
		asked, err := listener.Accept()
		if err != nil {
			return err
		}
		return errors.Join(asked.Close(), listener.Close())
	})
	w := newWorkbench(t, server, enginetest.Known)
	w.capture()
	target := w.target(nil)
	_, err = target.Stage(t.Context(), w.entries, w.memory)
	w.must(err)
	w.must(group.Wait())
	w.must(target.Discard(t.Context()))
	w.clean()
}

// configSets: the config set that a restore brings lies within another, and goes
// when it is nobody's any more.
func configSets(t *testing.T, server *testserver.SolrServer) {
	plain, odd := newWorkbench(t, server, enginetest.Known), newWorkbench(t, server, enginetest.Odd)
	w := newWorkbench(t, server, enginetest.Odd)
	w.must(os.WriteFile(filepath.Join(server.Home, w.name, "conf", "exact.txt"), []byte("other"), 0o644))
	original := w.dump()
	plain.capture()
	odd.capture()
	w.capture()
	for round, from := range []*workbench{plain, odd, odd} {
		target := w.target(nil)
		before := w.dump()
		_, err := target.Stage(t.Context(), from.entries, from.memory)
		w.must(err)
		w.must(target.Swap(t.Context()))
		if round%2 == 0 {
			w.must(target.Revert(t.Context()))
			w.same(before, "after the revert")
			w.must(target.Swap(t.Context()))
		}
		w.must(target.Discard(t.Context()))
		w.same(from.dump(), "after the restore")
		w.clean()
	}
	w.restore(w)
	w.same(original, "after all")
	w.clean()
}

func newerServer(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	w.capture()
	for taken, want := range map[string]bool{"Solr 99.1.0": true, "Solr " + testserver.SolrVersion: false, "Solr 9.1.0": false, "": false} {
		plan, err := w.target(func(s *engines.Service) { s.Server = taken }).Plan(t.Context(), w.entries)
		w.must(err)
		if got := strings.Contains(strings.Join(plan.Warnings, ""), taken+", and the server"); got != want {
			t.Errorf("taken from %q: warnings %q", taken, plan.Warnings)
		}
	}
}

// killed: the server dies while one core is sent, and while another is staged.
func killed(t *testing.T, server *testserver.SolrServer) {
	sent, from := newWorkbench(t, server, enginetest.Known), newWorkbench(t, server, enginetest.Odd)
	w := newWorkbench(t, server, enginetest.Known)
	from.capture()
	wanted, before := from.dump(), w.dump()
	target := w.target(nil)
	_, err := target.Stage(t.Context(), from.entries, from.memory)
	w.must(err)

	s := sent.source(nil)
	err = sent.deliver(s, &hooked{Sink: sent.memory, hook: func() error { server.Kill(); return nil }})
	sent.says(err, server.URL("").Host)
	sent.must(s.Close())
	sent.says(target.Swap(t.Context()), "cannot be reached")
	server.Start()
	w.must(target.Swap(t.Context())) // while it loads its cores
	w.same(wanted, "after the swap")
	w.must(target.Revert(t.Context()))
	w.same(before, "after the revert")
	w.must(target.Discard(t.Context()))
	w.clean()
	sent.capture()
}

// leftOver: what another restore has staged is told of.
func leftOver(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	w.capture()
	other := w.target(nil)
	_, err := other.Stage(t.Context(), w.entries, w.memory)
	w.must(err)
	for _, want := range []int{1, 0} {
		plan, err := w.target(nil).Plan(t.Context(), w.entries)
		w.must(err)
		if len(plan.Warnings) != want {
			t.Errorf("warnings: %q", plan.Warnings)
		}
		w.must(other.Discard(t.Context()))
	}
}

func atOnce(t *testing.T, server *testserver.SolrServer) {
	from := newWorkbench(t, server, enginetest.Known)
	from.capture()
	want := from.dump()
	var group errgroup.Group
	all := []*workbench{newWorkbench(t, server, enginetest.Empty), newWorkbench(t, server, enginetest.Empty), newWorkbench(t, server, enginetest.Known)}
	for _, w := range all {
		target := w.target(nil)
		group.Go(func() error {
			if _, err := target.Stage(t.Context(), from.entries, from.memory); err != nil {
				return err
			}
			return errors.Join(target.Swap(t.Context()), target.Discard(t.Context()))
		})
	}
	from.must(group.Wait())
	for _, w := range all {
		w.same(want, "of "+w.name)
	}
}

// broken: a core that cannot be loaded is not a core that is missing.
func broken(t *testing.T, server *testserver.SolrServer) {
	from, w := newWorkbench(t, server, enginetest.Known), newWorkbench(t, server, enginetest.Odd)
	from.capture()
	config := filepath.Join(server.Home, w.name, "conf", "solrconfig.xml")
	text, err := os.ReadFile(config)
	w.must(err)
	w.must(os.WriteFile(config, []byte("<config>"), 0o644))
	if err := w.admin(t.Context(), "action", "RELOAD", "core", w.name); err == nil {
		t.Fatal("the core is loaded all the same")
	}
	_, err = w.target(nil).Plan(t.Context(), from.entries)
	w.says(err, w.name, "repaired")
	w.must(os.WriteFile(config, text, 0o644))
	w.must(w.admin(t.Context(), "action", "RELOAD", "core", w.name))
}
