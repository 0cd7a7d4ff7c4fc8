package redis

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/internal/testserver"
)

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"redis://h":                              "tcp h:6379 all",
		"redis://h/":                             "tcp h:6379 all",
		"redis://h:7000/3":                       "tcp h:7000 3",
		"redis://[::1]/3":                        "tcp [::1]:6379 3",
		"redis://shop@h/0":                       "tcp h:6379 0",
		"redis:///2?socket=%2Frun%2Fredis.sock":  "unix /run/redis.sock 2",
		"rediss://h/0":                           "tcp h:6379 0 tls",
		"rediss://h/0?tls=skip-verify":           "tcp h:6379 0 tls",
		"redis://h/0?tls=skip-verify":            "error",
		"redis://h/x":                            "error",
		"redis://h/-1":                           "error",
		"redis://h/1/2":                          "error",
		"redis:///1":                             "error",
		"redis:///1?socket=relative":             "error",
		"rediss:///1?socket=%2Frun%2Fredis.sock": "error",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		p, err := placeOf(engines.Service{Name: "cache", URL: u, Password: "x"})
		got := fmt.Sprintf("%s %s %d", p.network, p.address, p.database)
		got = strings.TrimSpace(strings.Replace(got, fmt.Sprint(" ", allDatabases), " all", 1))
		if p.tls != nil {
			got += " tls"
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s is %s (%v), want %s", address, got, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	key, certificate := testserver.SelfSigned(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	server := testserver.Redis(t, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no")
	fill(t, dial(t, server, "", 0), 0, knownData())

	trusting := serviceAt(&url.URL{Scheme: "rediss", Host: address, Path: "/0", RawQuery: "tls=skip-verify"})
	memory, result, _ := capture(t, trusting, nil)
	restore(t, trusting, memory, result.Entries)

	source, err := Engine.Source(serviceAt(&url.URL{Scheme: "rediss", Host: address, Path: "/0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Prepare(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}
