package quiesce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"syscall"
	"time"
)

// maxAnswerHead bounds the head of an answer, in bytes.
const maxAnswerHead = 10 << 20

// siteConn is a connection to the site, for one request at a time.
type siteConn struct {
	conn *net.TCPConn
	now  *readyReader    // from conn, what has come already
	keep func(*siteConn) // takes it back, to be used again
	r    *bufio.Reader   // from conn, through Read
	w    *bufio.Writer   // to conn
	left int64           // bytes that Read may still read
	// to is the visitor's, while a body of known length is read: what has come goes on
	// before more is waited for. Else nil.
	to    http.ResponseWriter
	heard bool      // the site has begun to answer the present request
	since time.Time // when it became idle
	probe [1]byte   // what isSilent reads into
}

func newSiteConn(conn *net.TCPConn, keep func(*siteConn)) (*siteConn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &siteConn{conn: conn, now: newReadyReader(raw), keep: keep, w: bufio.NewWriter(conn)}
	c.r = bufio.NewReader(c)
	return c, nil
}

// Read reads from the connection, no more than is left.
func (c *siteConn) Read(p []byte) (n int, err error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the head of its answer is longer than %d MiB, with those of status 1xx before it", maxAnswerHead>>20)
	}
	p = p[:min(int64(len(p)), c.left)]
	err = syscall.EAGAIN
	if c.to != nil {
		n, err = c.now.Read(p)
		if err == syscall.EAGAIN {
			_ = http.NewResponseController(c.to).Flush() // who writes next is told that it failed
		}
	}
	if err == syscall.EAGAIN {
		n, err = c.conn.Read(p)
	}
	c.left -= int64(n)
	c.heard = c.heard || n > 0
	return n, err
}

func (c *siteConn) close() { _ = c.conn.Close() } // nothing is lost that somebody waits for

// isSilent reports whether the site has neither closed an idle connection nor said
// anything on it unasked.
func (c *siteConn) isSilent() bool {
	_, err := c.now.Read(c.probe[:])
	return err == syscall.EAGAIN && c.r.Buffered() == 0
}

// exchange sends r and returns the answer. Once its body is read or closed, the
// connection is kept or closed.
func (c *siteConn) exchange(r *http.Request) (*http.Response, error) {
	c.heard = false
	a := &answer{c: c, ctx: r.Context()}
	a.stop = context.AfterFunc(a.ctx, c.close)
	err := a.send(r)
	var response *http.Response
	if err == nil {
		response, err = c.readHead(r)
	}
	if err != nil {
		a.end(false)
		return nil, a.because(err)
	}
	c.left = math.MaxInt64
	// A 204 has no body; a site that announces one may send it, as if it were an answer.
	announced := response.StatusCode == http.StatusNoContent && response.Header.Get("Content-Length") > "0"
	a.body, a.last = response.Body, response.Close || announced
	if response.Body == http.NoBody {
		a.end(true)
	} else {
		response.Body = a
		c.to = pausing(response)
	}
	return response, nil
}

// pausing returns whose writer is to be flushed where the answer pauses; nil where
// httputil.ReverseProxy does it after each piece, which it may do beside us.
func pausing(response *http.Response) http.ResponseWriter {
	mediaType := strings.ToLower(response.Header.Get("Content-Type"))
	if response.ContentLength < 0 || strings.Contains(mediaType, "event-stream") {
		return nil
	}
	return visitorOf(response.Request.Context()).to
}

// readHead reads the head of the answer, and hands on those of status 1xx before it.
// Its bound is that of all of them together.
func (c *siteConn) readHead(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	c.left = maxAnswerHead
	for {
		response, err := http.ReadResponse(c.r, r)
		switch {
		case err == io.ErrUnexpectedEOF && !c.heard:
			return nil, errors.New("it closed the connection")
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("it switched protocols without being asked to")
		case response.StatusCode < 100 || response.StatusCode >= 200:
			return response, nil
		case trace != nil && trace.Got1xxResponse != nil:
			if err := trace.Got1xxResponse(response.StatusCode, textproto.MIMEHeader(response.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// answer is the body of an answer.
type answer struct {
	c     *siteConn
	ctx   context.Context // of the request
	stop  func() bool     // of closing c when ctx ends
	wrote chan error      // how writing the request's body ended; nil where there is none
	body  io.ReadCloser
	last  bool // the site wants the connection closed
	ended bool
}

// send writes the request: at once, or beside reading the answer, which may begin
// before the body has ended. Then the goroutine ends with the connection, or when
// the visitor's body is closed.
func (a *answer) send(r *http.Request) error {
	if r.Body == nil {
		if err := r.Write(a.c.w); err != nil {
			return err
		}
		return a.c.w.Flush()
	}
	a.wrote = make(chan error, 1)
	go func() {
		err := r.Write(a.c.w)
		failed := a.c.w.Flush()
		if err != nil && failed == nil {
			defer a.c.close() // the visitor has not sent all, and the site would wait for it
		}
		if body, ok := r.Body.(*sending); ok && body.broken != nil {
			err = body.broken // r.Write hides it
		} else if err == nil {
			err = failed
		}
		a.wrote <- err
	}()
	return nil
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.EOF {
		a.end(true)
	} else if err != nil {
		err = a.because(err)
	}
	return n, err
}

// Close implements io.Closer. The rest of the body, if any, is not waited for.
func (a *answer) Close() error {
	a.end(false)
	return nil
}

// end keeps the connection if the request was written and the answer read, and
// closes it otherwise.
func (a *answer) end(whole bool) {
	if a.ended {
		return
	}
	a.ended, a.c.to = true, nil
	if a.stop() && whole && !a.last && a.isWritten() {
		a.c.keep(a.c)
	} else {
		a.c.close()
	}
}

// isWritten reports whether the request was written whole. It does not wait.
func (a *answer) isWritten() bool {
	if a.wrote == nil {
		return true
	}
	select {
	case err := <-a.wrote:
		return err == nil
	default:
		return false
	}
}

// because returns why the answer could not be read: what ended it first.
func (a *answer) because(err error) error {
	if gone := a.ctx.Err(); gone != nil {
		return gone
	}
	select {
	case failed := <-a.wrote:
		if failed != nil {
			return failed
		}
	default:
	}
	return err
}
