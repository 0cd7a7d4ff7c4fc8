package solr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	// leaderPort is where a restore is fetched from unless the address says otherwise.
	leaderPort = "8984"
	// leaderName is what every answer of a leader names as its server.
	leaderName = "Holdfast"
	// listenPause is how long another restore that is being fetched is waited for
	// until the next look.
	listenPause = 200 * time.Millisecond
	// strangerLooks is how often in a row somebody else must be found there: a restore
	// that is just ending may hang up without a word, as a stranger would.
	strangerLooks = 5
)

// listen opens the address from which the server fetches, and returns it as the
// server knows it.
func (t *target) listen(ctx context.Context) (net.Listener, string, error) {
	address := t.leader
	if address == "" {
		host, err := t.ourHost(ctx)
		if err != nil {
			return nil, "", err
		}
		address = net.JoinHostPort(host, leaderPort)
	}
	for strangers := 0; ; {
		listener, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRNOTAVAIL) { // an address of a router in front of us
			_, port, _ := net.SplitHostPort(address)
			listener, err = net.Listen("tcp", ":"+port)
		}
		if err == nil {
			return listener, address, nil
		}
		// Solr is allowed one address, and another core may be fetched from there.
		inUse := errors.Is(err, syscall.EADDRINUSE)
		if strangers++; inUse && isLeader(ctx, address) {
			strangers = 0
		}
		if !inUse || strangers == strangerLooks {
			return nil, "", fmt.Errorf("service %s: listen where Solr is to fetch the index (another address: ?leader=host:port): %w", t.service, err)
		}
		select {
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		case <-time.After(listenPause):
		}
	}
}

// ourHost is the address by which we reach the server, and so it us.
func (t *target) ourHost(ctx context.Context) (string, error) {
	toServer, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return "", t.explain(ctx, "find out how it reaches us", err)
	}
	host, _, err := net.SplitHostPort(toServer.LocalAddr().String())
	return host, errors.Join(err, toServer.Close())
}

// isLeader reports whether a restore of Holdfast's is being fetched from an
// address, or was until just now.
func isLeader(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+address+"/", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
	}
	_ = response.Body.Close() // of a HEAD there is none
	return response.Header.Get("Server") == leaderName
}
