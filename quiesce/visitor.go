package quiesce

import (
	"context"
	"net"
	"net/http"
)

// visitor is who asked, as the context of a request knows him.
type visitor struct {
	conn net.Conn            // nil where it is not known
	to   http.ResponseWriter // of his answer; nil where it is not known
}

type visitorKey struct{}

// visitorOf returns the visitor of a request by its context; an empty one where it
// knows none.
func visitorOf(ctx context.Context) *visitor {
	if v, ok := ctx.Value(visitorKey{}).(*visitor); ok {
		return v
	}
	return &visitor{}
}

// toldOf returns r with a context that knows w. Over HTTP/1 a connection has one request
// at a time, so its own visitor is told, and r need not be copied.
func toldOf(w http.ResponseWriter, r *http.Request) *http.Request {
	if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok && r.ProtoMajor == 1 {
		v.to = w
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), visitorKey{}, &visitor{to: w}))
}
