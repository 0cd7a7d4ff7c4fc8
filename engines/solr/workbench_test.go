package solr

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
	"holdfast/internal/tree"
)

// workbench is a place with known data and what one test does with it.
type workbench struct {
	*testing.T
	*testPlace
	memory  *enginetest.Memory
	entries []tree.Entry
}

func newWorkbench(t *testing.T, server *testserver.SolrServer, kind enginetest.Kind) *workbench {
	t.Helper()
	w := &workbench{T: t, testPlace: newPlace(t, server), memory: enginetest.NewMemory()}
	w.must(w.Fill(t.Context(), kind))
	return w
}

// configured makes a core with a config set of its own, changed before it is loaded.
func configured(t *testing.T, server *testserver.SolrServer, change func(solrconfig string) string) *workbench {
	t.Helper()
	w := &workbench{T: t, testPlace: newPlace(t, server), memory: enginetest.NewMemory()}
	directory := filepath.Join(server.Home, w.name)
	server.PlainConfig(directory)
	path := filepath.Join(directory, "conf", "solrconfig.xml")
	text, err := os.ReadFile(path)
	w.must(err)
	w.must(os.WriteFile(path, []byte(change(string(text))), 0o644))
	w.must(w.admin(t.Context(), "action", "CREATE", "name", w.name, "instanceDir", w.name))
	w.must(w.call(t.Context(), "/"+w.name+"/update", nil, documents(enginetest.Known), nil))
	return w
}

// withHandler adds a request handler to a solrconfig.xml.
func withHandler(handler string) func(string) string {
	return func(solrconfig string) string {
		return strings.Replace(solrconfig, "</config>", handler+"</config>", 1)
	}
}

func (w *workbench) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// says fails the test unless err contains all of want.
func (w *workbench) says(err error, want ...string) {
	w.Helper()
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			w.Errorf("%v, without %q", err, text)
		}
	}
}

func (w *workbench) dump() string {
	w.Helper()
	text, err := w.Dump(w.Context())
	w.must(err)
	return text
}

func (w *workbench) same(want, when string) {
	w.Helper()
	if got := w.dump(); got != want {
		w.Fatalf("%s the data are others: %d and %d bytes", when, len(want), len(got))
	}
}

// changes makes some writes, and a commit that rewrites the whole index.
func (w *workbench) changes() error {
	for n := range 3 {
		if err := w.Write(context.Background(), 1000+n); err != nil {
			return err
		}
	}
	return w.call(context.Background(), "/"+w.name+"/update", map[string][]string{"optimize": {"true"}, "maxSegments": {"1"}}, nil, nil)
}

// source opens a source that is prepared and marked.
func (w *workbench) source(change func(*source)) *source {
	w.Helper()
	s, err := w.open(change)
	w.must(err)
	_, err = s.Mark(w.Context(), w.memory)
	w.must(err)
	return s
}

// open opens a source and prepares it.
func (w *workbench) open(change func(*source)) (*source, error) {
	w.Helper()
	opened, err := Engine.Source(w.Service())
	w.must(err)
	s := opened.(*source)
	w.Cleanup(func() { s.Close() })
	if change != nil {
		change(s)
	}
	return s, s.Prepare(w.Context(), w.memory)
}

// deliver sends what is marked, and keeps what came of it.
func (w *workbench) deliver(s *source, sink engines.Sink) error {
	w.Helper()
	result, err := s.Send(w.Context(), sink)
	if err == nil {
		w.entries = result.Entries
	}
	return err
}

// capture takes a snapshot.
func (w *workbench) capture() {
	w.Helper()
	s := w.source(nil)
	w.must(w.deliver(s, w.memory))
	w.must(s.Close())
}

// target opens a target for w's core.
func (w *workbench) target(change func(*engines.Service)) engines.Target {
	w.Helper()
	service := w.Service()
	if change != nil {
		change(&service)
	}
	t, err := Engine.Target(service, fmt.Sprintf("%020x", places.Add(1)))
	w.must(err)
	w.Cleanup(func() { t.Close() })
	return t
}

// restore restores what another workbench has captured.
func (w *workbench) restore(from *workbench) {
	w.Helper()
	t := w.target(nil)
	_, err := t.Stage(w.Context(), from.entries, from.memory)
	w.must(err)
	w.must(t.Swap(w.Context()))
	w.must(t.Discard(w.Context()))
}

func (w *workbench) clean() {
	w.Helper()
	litter, err := w.Litter(w.Context())
	w.must(err)
	if len(litter) > 0 {
		w.Errorf("left behind: %s", strings.Join(litter, ", "))
	}
}

// hooked is a sink that calls a function when the first file has begun to come.
type hooked struct {
	engines.Sink
	once sync.Once
	hook func() error
}

// Put implements engines.Sink.
func (h *hooked) Put(ctx context.Context, e tree.Entry, base tree.Stream, content io.Reader) (tree.Entry, error) {
	first := make([]byte, 1)
	n, err := content.Read(first)
	if err != nil && err != io.EOF {
		return e, err
	}
	h.once.Do(func() { err = h.hook() })
	if err != nil && err != io.EOF {
		return e, err
	}
	return h.Sink.Put(ctx, e, base, io.MultiReader(strings.NewReader(string(first[:n])), content))
}
