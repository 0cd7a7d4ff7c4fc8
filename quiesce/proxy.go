package quiesce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// upstreamIdle is how long a connection to the site is kept without use: less than
// the shortest keep-alive of usual application servers (2 s), so that no request
// goes into a connection that the site is just closing.
const upstreamIdle = time.Second

// NewProxy returns a handler that sends requests on to the site: http://host:port,
// or h2c://host:port for HTTP/2 without TLS. Bodies go through in pieces, as they
// come. errorLog is told of requests that the site did not answer; nil is the
// standard one.
func NewProxy(site *url.URL, errorLog *log.Logger) (http.Handler, error) {
	way, err := wayTo(site)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Transport:    way,
		Rewrite:      func(r *httputil.ProxyRequest) { rewrite(r, site.Host) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { answerFailed(w, r, err, errorLog) },
		ErrorLog:     errorLog,
		BufferPool:   &buffers{},

		ModifyResponse: checkStatus,
	}
	if site.Scheme == "h2c" {
		proxy.FlushInterval = pieceTime
		return proxy, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = toldOf(w, r)
		proxy.ServeHTTP(w, r)
		visitorOf(r.Context()).to = nil // an idle connection keeps nothing of its last answer
	}), nil
}

// pieceTime is how long a piece of an answer waits at most for more where it is not
// seen that the site pauses: over HTTP/2.
const pieceTime = 10 * time.Millisecond

// checkStatus refuses an answer with a status that net/http would not write.
func checkStatus(response *http.Response) error {
	if response.StatusCode < 100 || response.StatusCode > 999 {
		return fmt.Errorf("it answered with the status %d, which there is none of", response.StatusCode)
	}
	return nil
}

// wayTo returns what sends requests to the site.
func wayTo(site *url.URL) (http.RoundTripper, error) {
	if site.Scheme != "http" && site.Scheme != "h2c" {
		return nil, errors.New("the site's URL must begin with http:// or h2c://")
	}
	if site.Host == "" || site.Path != "" && site.Path != "/" || site.RawQuery != "" {
		return nil, errors.New("the site's URL must be a server alone, such as http://127.0.0.1:9000")
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(site.Scheme == "http")
	protocols.SetUnencryptedHTTP2(site.Scheme == "h2c")
	standard := &http.Transport{
		Protocols:   protocols,
		DialContext: dialer.DialContext,
		// Whether a body is wanted is for the site to say.
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // the visitor's own wish goes on, and the answer comes back as it is
		IdleConnTimeout:       upstreamIdle,
	}
	if site.Scheme == "h2c" {
		return standard, nil
	}
	standard.MaxIdleConnsPerHost = -1 // what is left to it is rare: it keeps none
	address := site.Host
	if site.Port() == "" {
		address = net.JoinHostPort(site.Hostname(), "80")
	}
	return &transport{address: address, dialer: dialer, rare: standard}, nil
}

// rewrite sends the request on as it came, but for what says whence.
func rewrite(r *httputil.ProxyRequest, host string) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", host
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it is, also where it is odd
	if path, _, _ := strings.Cut(r.In.RequestURI, "?"); path != r.In.URL.EscapedPath() && isPath(path) {
		r.Out.URL.Opaque = path // net/url would write %2F as / where something else is odd
	}
	r.Out.Host = r.In.Host
	if r.Out.Body != nil {
		r.Out.Body = &sending{ReadCloser: r.Out.Body, in: r.In, out: r.Out}
	}
	if isFront(r.In.RemoteAddr) {
		// What the front says of the client stays; SetXForwarded would set it anew.
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if said, ok := r.In.Header[name]; ok {
				r.Out.Header[name] = said
			}
		}
	}
	said := r.Out.Header
	proto, named := said["X-Forwarded-Proto"], said["X-Forwarded-Host"]
	r.SetXForwarded()
	if proto != nil {
		said["X-Forwarded-Proto"] = proto
	}
	if named != nil {
		said["X-Forwarded-Host"] = named
	}
}

// isPath reports whether text can be sent as the path of a request as it is.
func isPath(text string) bool {
	return strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && !strings.Contains(text, " ")
}

// isFront reports whether what a client says of whom it speaks for is believed: it
// is on this machine, or in a private network.
func isFront(remote string) bool {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote == "" || remote == "@" // a Unix socket
	}
	ip := address.Addr().Unmap()
	return ip.IsLoopback() || ip.IsPrivate()
}

// answerFailed answers for a site that does not.
func answerFailed(w http.ResponseWriter, r *http.Request, err error, errorLog *log.Logger) {
	cause := context.Cause(r.Context())
	if cause != nil && cause != errUnread {
		panic(http.ErrAbortHandler) // the visitor is gone
	}
	if _, ok := errors.AsType[*bodyError](err); ok {
		http.Error(w, "The request's body is broken.", http.StatusBadRequest)
		return
	}
	if errorLog == nil {
		errorLog = log.Default()
	}
	status := http.StatusBadGateway
	if cause != nil {
		status, err = http.StatusGatewayTimeout, cause
	}
	errorLog.Printf("%s %s: the site did not answer: %v", r.Method, r.URL.Path, err)
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		status = http.StatusGatewayTimeout
	}
	http.Error(w, "The site did not answer.", status)
}

// buffers are those through which bodies go.
type buffers struct{ free sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if p, ok := b.free.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(p []byte) { b.free.Put((*[bufferSize]byte)(p)) }

// sending is the body of a request on its way to the site. Declared trailers are
// handed on by whoever reads its end: the map that net/http fills may be filled by a
// Close too, while the request is being written.
type sending struct {
	io.ReadCloser
	in, out *http.Request
	broken  error // for which it could not be read
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	switch {
	case err == io.EOF && s.out.Trailer != nil:
		maps.Copy(s.out.Trailer, s.in.Trailer)
	case err != nil && err != io.EOF:
		s.broken = &bodyError{err}
		return n, s.broken
	}
	return n, err
}

// bodyError says that a request's body could not be read: that is not the site's fault.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read the request's body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }
