package solr

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"holdfast/engines"
)

const (
	dialTimeout = 10 * time.Second
	defaultPort = "8983"
)

// place is one core of one server, and how to get there.
type place struct {
	service  string
	core     string
	address  string // for messages: host:port
	base     string // http://host:port/solr
	user     string
	password string
	// leader is where the server fetches a restore from, host:port; "" is the
	// address by which it is reached, and leaderPort.
	leader string
	// configSet is the server's config set for a core that does not exist yet, or "".
	configSet string
	client    *http.Client
	answer    time.Duration // what the server has to say who it is
}

// coreForm is what Solr allows for the name of a core.
var coreForm = regexp.MustCompile(`^[._A-Za-z0-9][-._A-Za-z0-9]*$`)

// placeOf reads a service's URL.
func placeOf(s engines.Service) (place, error) {
	want := func(found string) (place, error) {
		return place{}, fmt.Errorf("service %s: %s; want solr://user@host:8983/solr/core", s.Name, found)
	}
	u := s.URL
	if u == nil || u.Opaque != "" || u.Fragment != "" {
		return want("not an address of a core")
	}
	if _, has := u.User.Password(); has {
		return place{}, fmt.Errorf("service %s: the password stands in the address; write it as password or password_file", s.Name)
	}
	if u.Hostname() == "" {
		return want("no host in the address")
	}
	p := place{service: s.Name, core: path.Base(u.Path), address: u.Host, user: u.User.Username(), password: s.Password, answer: engines.AnswerTimeout}
	context := path.Dir(u.Path)
	if !path.IsAbs(u.Path) || context == "/" {
		return want("no core in the address")
	}
	if !coreForm.MatchString(p.core) || len(p.core) > 150 {
		return want(fmt.Sprintf("%q is no name of a core", p.core))
	}
	if p.user == "" && p.password != "" {
		return want("a password, but no user in the address")
	}
	if u.Port() == "" {
		p.address = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	secure := &tls.Config{}
	scheme := "http"
	if u.Scheme == "solrs" {
		scheme = "https"
	}
	for key, values := range u.Query() {
		switch value := values[len(values)-1]; {
		case key == "tls" && value == "true":
			scheme = "https"
		case key == "tls" && value == "skip-verify":
			scheme, secure.InsecureSkipVerify = "https", true
		case key == "leader" && isHostPort(value):
			p.leader = value
		case key == "configset" && coreForm.MatchString(value):
			p.configSet = value
		default:
			return want(fmt.Sprintf("parameter %s=%s is not known (tls=true or skip-verify; leader=host:port; configset=name)", key, value))
		}
	}
	p.base = (&url.URL{Scheme: scheme, Host: p.address, Path: context}).String()
	p.client = &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		TLSClientConfig:     secure,
		DisableCompression:  true, // replication has checksums of its own, and mostly incompressible bytes
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, nil
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && port != "" && !strings.ContainsAny(text, "/@?#")
}

// at is the server, for messages.
func (p place) at() string { return "Solr at " + p.address }

// close ends the connections.
func (p place) close() { p.client.CloseIdleConnections() }
