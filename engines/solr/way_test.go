package solr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// way is what lies between us and the server: it does something to the content of
// files as they come by.
type way struct {
	proxy *httptest.Server
	mu    sync.Mutex
	// change is given the content of every file, in packets, from its offset on.
	change  func(file, offset string, packets []byte) []byte
	offsets []string // from which files were asked for, beyond their begin
}

func newWay(t *testing.T, server *testserver.SolrServer, change func(file, offset string, packets []byte) []byte) *way {
	target, err := url.Parse(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	w := &way{change: change}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		ModifyResponse: func(r *http.Response) error {
			asked := r.Request.URL.Query()
			if asked.Get("command") != "filecontent" || !asked.Has(indexKind) {
				return nil
			}
			packets, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if asked.Has("offset") {
				w.offsets = append(w.offsets, asked.Get("offset"))
			}
			r.Body = io.NopCloser(bytes.NewReader(w.change(asked.Get(indexKind), asked.Get("offset"), packets)))
			r.ContentLength = -1
			r.Header.Del("Content-Length")
			return nil
		},
	}
	w.proxy = httptest.NewUnstartedServer(proxy)
	w.proxy.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are meant
	t.Cleanup(w.proxy.Close)
	return w
}

// start lets a source take that way.
func (w *way) start(s *source) {
	w.proxy.Start()
	w.through(s)
}

func (w *way) through(s *source) {
	u, _ := url.Parse(w.proxy.URL)
	s.base = strings.Replace(s.base, s.address, u.Host, 1)
}

func brokenConnections(t *testing.T, server *testserver.SolrServer) {
	w, other := newWorkbench(t, server, enginetest.Large), newWorkbench(t, server, enginetest.Empty)
	marked := w.dump()
	tries := map[string]int{}
	way := newWay(t, server, func(file, _ string, packets []byte) []byte {
		tries[file]++
		switch tries[file] {
		case 1: // within a packet, if there is more than one
			return packets[:len(packets)*3/4]
		case 2:
			return nil
		case 3: // one bit
			damaged := bytes.Clone(packets)
			damaged[len(damaged)/2] ^= 0x10
			return damaged
		}
		return packets
	})
	w.must(w.deliver(w.source(way.start), w.memory))
	if len(way.offsets) == 0 {
		t.Error("no file was taken up in its middle")
	}
	other.restore(w)
	other.same(marked, "in the other core")
}

func damagedOnTheWay(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	for what, change := range map[string]func([]byte) []byte{
		"no packets":    func([]byte) []byte { return []byte("<html><body>maintenance</body></html>") },
		"ended early":   func([]byte) []byte { return make([]byte, 4) },
		"too long":      func(p []byte) []byte { return append(packetOf([]byte("more")), p...) },
		"a flipped bit": func(p []byte) []byte { q := bytes.Clone(p); q[12] ^= 1; return q },
	} {
		way := newWay(t, server, func(_, _ string, packets []byte) []byte { return change(packets) })
		err := w.deliver(w.source(way.start), w.memory)
		if err == nil || errors.Is(err, engines.ErrPointLost) {
			t.Errorf("%s: %v", what, err)
		}
		w.says(err, w.name)
	}
}

// overHTTPS: what ends the encryption stands in front of Solr, as in most places.
func overHTTPS(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	way := newWay(t, server, func(_, _ string, packets []byte) []byte { return packets })
	way.proxy.StartTLS()
	prepare := func(scheme, query string) error {
		service := w.Service()
		service.URL.Scheme, service.URL.RawQuery = scheme, query
		service.URL.Host = strings.TrimPrefix(way.proxy.URL, "https://")
		s, err := Engine.Source(service)
		w.must(err)
		defer s.Close()
		return s.Prepare(t.Context(), w.memory)
	}
	w.must(prepare("solr", "tls=skip-verify"))
	w.must(prepare("solrs", "tls=skip-verify"))
	w.says(prepare("solrs", ""), "certificate", "tls=skip-verify")
	w.says(prepare("solr", "tls=true"), "certificate")
	w.says(prepare("solr", ""), "400")
}

// packetOf is data as one packet.
func packetOf(data []byte) []byte {
	var b bytes.Buffer
	_ = writePacket(&b, data)
	return b.Bytes()
}

// damagedOnDisk: the packets are right, and what is in them is not.
func damagedOnDisk(t *testing.T, server *testserver.SolrServer) {
	w := newWorkbench(t, server, enginetest.Known)
	way := newWay(t, server, func(_, _ string, packets []byte) []byte {
		damaged := bytes.Clone(packets)
		data := damaged[12 : 12+binary.BigEndian.Uint32(damaged)]
		data[len(data)/2] ^= 1
		binary.BigEndian.PutUint64(damaged[4:], uint64(adler32.Checksum(data)))
		return damaged
	})
	err := w.deliver(w.source(way.start), w.memory)
	w.says(err, "checksum", "CheckIndex")
}

func FuzzReadPacket(f *testing.F) {
	f.Add([]byte{})
	f.Add(packetOf(nil))
	f.Add(append(packetOf([]byte("some data")), packetOf(nil)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		from := bytes.NewReader(stream)
		for {
			at := len(stream) - from.Len()
			data, err := readPacket(from, nil)
			if err == io.EOF && !bytes.HasPrefix(stream[at:], packetOf(nil)) {
				t.Fatal("an end was read where there is none")
			}
			if err != nil {
				return
			}
			if len(data) == 0 || len(data) > maxPacket || !bytes.HasPrefix(stream[at:], packetOf(data)) {
				t.Fatalf("a packet of %d bytes was read where there is none", len(data))
			}
		}
	})
}
