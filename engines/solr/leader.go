package solr

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strconv"
	"sync"

	"holdfast/engines"
)

// leader answers a follower as the leader of a replication does: it serves one
// commit out of a snapshot.
type leader struct {
	// path is where it answers; nobody can guess it.
	path    string
	ctx     context.Context
	content engines.Content
	stored  stored
	config  map[string]storedConfig // files of the config set to be sent, by path
	into    string                  // directory of the follower's config set that they go to

	mu    sync.Mutex
	asked bool  // somebody has come
	err   error // the first thing that went wrong on our side; it ends all
}

// leaderContext is what stands before a core in a leader's address.
const leaderContext = "/solr/"

func newLeader(ctx context.Context, s stored, content engines.Content) *leader {
	return &leader{path: leaderContext + rand.Text(), ctx: ctx, content: content, stored: s}
}

// fail notes what went wrong; from then on nothing is answered.
func (l *leader) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// outcome tells whether anybody came, and what went wrong.
func (l *leader) outcome() (asked bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked, l.err
}

// ServeHTTP implements http.Handler.
func (l *leader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", leaderName)
	if r.URL.Path != l.path+"/replication" {
		http.NotFound(w, r)
		return
	}
	l.mu.Lock()
	l.asked = true
	failed := l.err != nil
	l.mu.Unlock()
	if failed {
		http.Error(w, "the restore has ended", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	var err error
	switch r.FormValue("command") {
	case "indexversion":
		_, err = w.Write(appendAnswer(nil, field{"indexversion", l.version()}, field{"generation", l.stored.commit.Generation}, field{"status", "OK"}))
	case "filelist":
		err = l.list(w)
	case "filecontent":
		err = l.file(w, r)
	default:
		http.Error(w, "not known here", http.StatusBadRequest)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the follower sees that the answer is not whole
	}
}

// version is that of the commit. The first, empty commit of an index has version
// 0, and a follower would not fetch it.
func (l *leader) version() int64 { return max(1, l.stored.commit.Version) }

// list answers with the files of the index and of the config set.
func (l *leader) list(w io.Writer) error {
	var index, config []dictionary
	for _, f := range l.stored.commit.Files {
		index = append(index, dictionary{{"name", f.Name}, {"size", f.Size}, {"checksum", f.Checksum}})
	}
	for path, f := range l.config {
		config = append(config, dictionary{{"name", path}, {"size", int64(f.entry.Size)}, {"checksum", int64(f.checksum)}, {"alias", l.into + path}})
	}
	fields := []field{{"filelist", index}}
	if len(config) > 0 {
		fields = append(fields, field{"confFiles", config})
	}
	_, err := w.Write(appendAnswer(nil, append(fields, field{"status", "OK"})...))
	return err
}

// file sends a file in packets, from an offset on.
func (l *leader) file(w http.ResponseWriter, r *http.Request) error {
	e, ok := l.stored.index[r.FormValue(indexKind)]
	if config := r.FormValue(configKind); config != "" {
		var f storedConfig
		f, ok = l.config[config]
		e = f.entry
	}
	if !ok {
		http.NotFound(w, r)
		return nil
	}
	offset, err := strconv.ParseInt(cmp.Or(r.FormValue("offset"), "0"), 10, 64)
	if err != nil || offset < 0 {
		http.Error(w, "offset?", http.StatusBadRequest)
		return nil
	}
	file := l.content.Open(l.ctx, e)
	defer file.Close()
	if _, err := io.CopyN(io.Discard, file, offset); err != nil {
		l.fail(err)
		return err
	}
	buf := make([]byte, min(max(1, e.Size), maxPacket))
	for {
		n, err := io.ReadFull(file, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			l.fail(err)
			return err
		}
		if n > 0 {
			if err := writePacket(w, buf[:n]); err != nil {
				return err // the follower comes again, or says that it gave up
			}
		}
		if err != nil {
			return writePacket(w, nil)
		}
	}
}
