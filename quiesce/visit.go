package quiesce

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// visit is one request and the writer of its answer.
type visit struct {
	http.ResponseWriter
	gate    *Gate
	method  string
	path    string
	upgrade string    // the protocol that it asks for, or ""
	since   time.Time // when it came
	safe    bool      // GET or HEAD

	// Under the gate's mu:
	in         *visits // the list that it is in, or nil
	prev, next *visit
	upload     *upload // nil where there is no body
	answering  bool
	unheldIn   *Tally       // the hold in which it was counted as unheld
	decided    chan verdict // of one that waited; has room for the only one
	wrote      bool         // by the one goroutine that answers
}

// mayWrite reports whether the request is of a kind that changes a site's data.
func (v *visit) mayWrite() bool { return !v.safe && v.method != http.MethodOptions }

// Unwrap lets http.ResponseController reach flushing and hijacking.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// WriteHeader notices that the answer begins, and whether it is one without end.
func (v *visit) WriteHeader(status int) {
	if status >= 200 && !v.wrote {
		v.wrote = true
		v.begins()
	}
	v.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (v *visit) Write(p []byte) (int, error) {
	if !v.wrote {
		v.WriteHeader(http.StatusOK)
	}
	return v.ResponseWriter.Write(p)
}

func (v *visit) begins() {
	if v.upload.isComing() && v.upload.alone {
		v.Header().Set("Connection", "close") // what still comes must not be taken for the next request
	}
	if isEventStream(v.Header().Get("Content-Type")) {
		v.gate.pass(v)
		return
	}
	if !v.safe {
		return
	}
	v.gate.mu.Lock()
	v.answering = true
	v.gate.mu.Unlock()
}

// endUpload ends an upload with its answer. An answer must not wait for what the site
// did not want to read: the visitor may send it slowly, or never, having been told 413.
// What is left must be found out here: where net/http does it, after us, it reads the
// connection twice at once.
func (v *visit) endUpload() {
	controller := http.NewResponseController(v.ResponseWriter)
	if v.upload.isComing() {
		_ = controller.SetReadDeadline(time.Now()) // whoever reads it stops
	}
	_ = v.upload.Close()
	_ = controller.Flush()
}

// brief is text of a visitor's as people are told it: he may have made it long.
func brief(text string) string {
	const most = 200 // bytes
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// upload is a request's body, counted on its way to the site.
type upload struct {
	io.ReadCloser
	expected int64 // bytes; below 0 where the visitor does not say
	alone    bool  // it has its connection for itself: HTTP/1
	received atomic.Int64
	ended    atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	u.received.Add(int64(n))
	if err != nil {
		u.ended.Store(true)
	}
	return n, err
}

// isComing reports whether the visitor is still sending. u may be nil.
func (u *upload) isComing() bool {
	return u != nil && !u.ended.Load() && u.received.Load() != u.expected
}

// visits is a list in the order in which they were pushed.
type visits struct {
	first, last *visit
	n           int
}

func (l *visits) push(v *visit) {
	v.in, v.prev, v.next = l, l.last, nil
	if l.last == nil {
		l.first = v
	} else {
		l.last.next = v
	}
	l.last = v
	l.n++
}

func (l *visits) remove(v *visit) {
	if v.in != l {
		panic("quiesce: a visit is not in the list that it is taken from")
	}
	if v.prev == nil {
		l.first = v.next
	} else {
		v.prev.next = v.next
	}
	if v.next == nil {
		l.last = v.prev
	} else {
		v.next.prev = v.prev
	}
	v.in, v.prev, v.next = nil, nil, nil
	l.n--
}
