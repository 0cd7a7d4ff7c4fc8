package solr

import (
	"net/url"
	"strings"
	"testing"

	"holdfast/engines"
)

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"solr://site@search/solr/shop":                             "http://search:8983/solr shop",
		"solr://search:9000/solr/shop":                             "http://search:9000/solr shop",
		"solr://[::1]:1/a/b/shop-1.x_y":                            "http://[::1]:1/a/b shop-1.x_y",
		"solrs://search/solr/shop":                                 "https://search:8983/solr shop",
		"solr://search/solr/shop?tls=skip-verify":                  "https://search:8983/solr shop",
		"solr://search/solr/shop?leader=192.0.2.7:1&configset=one": "http://search:8983/solr shop 192.0.2.7:1 one",
	} {
		p, err := placeOf(serviceAt(t, address))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := strings.TrimSpace(strings.Join([]string{p.base, p.core, p.leader, p.configSet}, " ")); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	for address, want := range map[string]string{
		"solr:shop":                          "not an address",
		"solr:///solr/shop":                  "no host",
		"solr://search":                      "no core",
		"solr://search/shop":                 "no core",
		"solr://search/solr/-x":              "no name of a core",
		"solr://search/solr/a%20b":           "no name of a core",
		"solr://site:secret@search/solr/a":   "password_file",
		"solr://search/solr/a?tls=maybe":     "tls=maybe",
		"solr://search/solr/a?leader=nobody": "leader=nobody",
		"solr://search/solr/a?configset=../": "configset=../",
	} {
		if _, err := placeOf(serviceAt(t, address)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, without %q", address, err, want)
		}
	}
}

func serviceAt(t *testing.T, address string) engines.Service {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return engines.Service{Name: "search", URL: u}
}
