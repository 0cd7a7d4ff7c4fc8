package quiesce

import (
	"net/http"
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
	old     bool      // of HTTP/1.0

	// Under the gate's mu:
	in         *visits // the list that it is in, or nil
	prev, next *visit
	upload     *upload // nil where there is no body
	answering  bool
	unheldIn   *Tally       // the hold in which it was counted as unheld
	decided    chan verdict // of one that waited; has room for the only one
	// Of the one goroutine that answers:
	wrote    bool
	hijacked bool
}

// mayWrite reports whether the request is of a kind that changes a site's data.
func (v *visit) mayWrite() bool { return !v.safe && v.method != http.MethodOptions }

// Unwrap lets http.ResponseController reach flushing and hijacking.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// WriteHeader notices that the answer begins, and whether it is one without end. A
// visitor of HTTP/1.0 would take a status 1xx for his answer (RFC 9110, section 15.2).
// That he may go on with his body net/http tells him when the site takes it: the
// site's word beside that would be a second one, and simple clients expect one.
func (v *visit) WriteHeader(status int) {
	if status < 200 && (v.old || status == http.StatusContinue) {
		return
	}
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
	if v.upload != nil {
		v.upload.answered.Store(true)
	}
	if v.upload.isComing() && v.upload.alone {
		v.Header().Set("Connection", "close") // what still comes must not be taken for the next request
	}
	if _, said := v.Header()["Content-Type"]; !said {
		v.Header()["Content-Type"] = nil // net/http would guess one; with nosniff that is another answer
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

// brief is text of a visitor's as people are told it: he may have made it long.
func brief(text string) string {
	const most = 200 // bytes
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
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
