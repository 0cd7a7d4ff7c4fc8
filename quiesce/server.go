package quiesce

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// What a visitor over h2c may have sent that nobody has read, in bytes: of one request,
// and of all on a connection. A held upload takes no more than the one of the other, so
// that those which run go on beside some sixty of them. Neither can be chosen much
// otherwise: visitors begin with 64 KiB before they are told, and net/http allows less
// than 4 MiB.
const (
	streamWindow = 64 << 10
	connWindow   = 4<<20 - 1
)

// NewServer returns a server for a gate, that speaks HTTP/1.1 and h2c. It bounds
// how long a request's head takes to come, and never a body or an answer.
func NewServer(h http.Handler) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow},
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than a front's, so that the front closes first
		MaxHeaderBytes:    256 << 10,

		DisableGeneralOptionsHandler: true, // OPTIONS * is for the site to answer

		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, visitorKey{}, &visitor{conn: conn})
		},
	}
}

// lastAnswers is how long a gate that ends goes on answering on open connections, if
// there are any, and asks their clients to close them. It must not be shut down while they are in
// use: net/http then drops requests that it has just read.
const lastAnswers = time.Second

// Serve answers on all listeners until ctx ends. Then it stops accepting, asks
// clients to close their connections, lets running requests finish for as long as
// patience, and returns.
func Serve(ctx context.Context, listeners []net.Listener, h http.Handler, patience time.Duration) error {
	var ending atomic.Bool
	var open atomic.Int64 // connections
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ending.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	}))
	server.ConnState = func(_ net.Conn, now http.ConnState) {
		switch now {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	var group errgroup.Group
	listeners = withPlaces(listeners, visitorPlaces())
	for _, l := range listeners {
		group.Go(func() error {
			err := server.Serve(l)
			if errors.Is(err, http.ErrServerClosed) || ending.Load() {
				return nil
			}
			return err
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- group.Wait() }()
	select {
	case err := <-failed:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	ending.Store(true)
	for _, l := range listeners {
		_ = l.Close() // of an inherited socket this closes our copy alone
	}
	ended := <-failed // no connection is taken any more
	for since := time.Now(); open.Load() > 0 && time.Since(since) < lastAnswers; {
		time.Sleep(lastAnswers / 100)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := server.Shutdown(last)
	if err != nil {
		err = errors.Join(errors.New("some requests were still running when the gate ended"), server.Close())
	}
	return errors.Join(err, ended)
}
