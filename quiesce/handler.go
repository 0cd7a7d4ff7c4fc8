package quiesce

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP holds the request if requests are held, and lets it go on.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isToken(r.Method) || strings.Contains(r.URL.RawQuery, " ") {
		// HTTP/2 can say what in the HTTP/1.1 of the site would be another request.
		http.Error(w, "The request cannot be passed on.", http.StatusBadRequest)
		return
	}
	v := &visit{ResponseWriter: w, gate: g, method: r.Method, path: r.URL.Path, upgrade: r.Header.Get("Upgrade"), since: time.Now(),
		safe: isSafe(r), old: !r.ProtoAtLeast(1, 1)}
	if r.ContentLength != 0 {
		v.upload = &upload{ReadCloser: r.Body, expected: r.ContentLength, alone: r.ProtoMajor == 1}
	}
	switch g.enter(r.Context(), v, g.passes(r)) {
	case refuse:
		g.answerRefused(w)
		return
	case clientGone:
		panic(http.ErrAbortHandler) // there is nobody to answer
	}
	defer g.leave(v)
	if v.upload != nil {
		ctx, end := context.WithCancelCause(r.Context())
		defer v.upload.watch(ctx, visitorOf(ctx).conn, end)()
		r = r.WithContext(ctx) // a copy: net/http looks at the body of its own request later
		r.Body = v.upload
	}
	if v.upload != nil && v.upload.alone {
		// A site may answer before it has read all; that is not ours to prevent.
		_ = http.NewResponseController(w).EnableFullDuplex() // not every writer can
		defer v.endUpload()
	}
	g.Site.ServeHTTP(v, r)
}

// isToken reports whether text is a token of RFC 9110, section 5.6.2, as methods are.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

func (g *Gate) answerRefused(w http.ResponseWriter) {
	after := g.RetryAfter
	if after == 0 {
		after = 5 * time.Second
	}
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(after.Seconds()))))
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "The site is busy for a moment. Please try again.", http.StatusServiceUnavailable)
}

// passes reports whether a request is of a kind that is never held.
func (g *Gate) passes(r *http.Request) bool {
	switch {
	case isSafe(r) && (isUpgrade(r) || isEventStream(r.Header.Get("Accept")) || isHealthCheck(r)):
		return true
	case len(g.Pass) == 0 || strings.Contains(r.URL.Path, ".."):
		return false // what the site makes of .. is not known
	}
	return slices.ContainsFunc(g.Pass, func(pattern string) bool {
		if all, ok := strings.CutSuffix(pattern, "*"); ok || strings.HasSuffix(pattern, "/") {
			return strings.HasPrefix(r.URL.Path, all)
		}
		return r.URL.Path == pattern
	})
}

func isSafe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func isUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" && strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

func isEventStream(mediaType string) bool { return strings.HasPrefix(mediaType, "text/event-stream") }

// healthChecks begin the user agents of those who ask whether the site lives, and
// would take a held one for a dead one.
var healthChecks = []string{"kube-probe/", "ELB-HealthChecker/", "GoogleHC/", "Consul Health Check", "Amazon-Route53-Health-Check-Service"}

func isHealthCheck(r *http.Request) bool {
	agent := r.Header.Get("User-Agent")
	return slices.ContainsFunc(healthChecks, func(prefix string) bool { return strings.HasPrefix(agent, prefix) })
}
