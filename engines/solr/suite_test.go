package solr

import (
	"net/url"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// TestSolr has all tests that need a server: one takes seconds to start.
func TestSolr(t *testing.T) {
	server := testserver.Solr(t)
	enginetest.Run(t, harness(server))
	for name, test := range map[string]func(*testing.T, *testserver.SolrServer){
		"what is not committed at the mark is in the snapshot":      uncommitted,
		"a reserved commit outlives merges and commits":             reserved,
		"what is written after the mark is noticed":                 moved,
		"a commit that is gone is marked again":                     pointLost,
		"an index that is rewritten while it is sent":               rewrittenWhileSent,
		"a connection that breaks is taken up where it broke":       brokenConnections,
		"what comes damaged again and again fails the snapshot":     damagedOnTheWay,
		"an index that is damaged on the server is no snapshot":     damagedOnDisk,
		"a core without a replication handler is refused":           noReplication,
		"a server that may not fetch from us is told how":           notAllowed,
		"a config set comes back with the index, and none is left":  configSets,
		"a core that cannot be loaded is not replaced":              broken,
		"two cores are restored at the same time":                   atOnce,
		"a port that somebody else has is said":                     takenPort,
		"a port that somebody else is just giving up is waited for": passingPort,
		"what another restore has left is told of":                  leftOver,
		"https, with a certificate or without":                      overHTTPS,
		"a newer server's data are warned of":                       newerServer,
		"a server that is killed loses a snapshot, not a restore":   killed,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

func harness(server *testserver.SolrServer) enginetest.Harness {
	return enginetest.Harness{
		Engine: Engine,
		Place:  func(t *testing.T) enginetest.Place { return newPlace(t, server) },
		Refused: func(t *testing.T) []enginetest.Refusal {
			core := newPlace(t, server)
			if err := core.Fill(t.Context(), enginetest.Known); err != nil {
				t.Fatal(err)
			}
			with := func(change func(*engines.Service)) engines.Service {
				s := core.Service()
				change(&s)
				return s
			}
			host := server.URL("").Host
			return []enginetest.Refusal{
				{What: "wrong password", Service: with(func(s *engines.Service) { s.Password = "wrong battery" }), Want: []string{host, testserver.SolrBackup, "password is wrong"}},
				{What: "a user who may only read", Service: with(func(s *engines.Service) { s.URL.User = url.User(testserver.SolrReader) }), Want: []string{
					host, testserver.SolrReader, "config-read", "core-admin-edit"}},
				{What: "no user", Service: with(func(s *engines.Service) { s.URL.User, s.Password = nil, "" }), Want: []string{host, "asks for a user"}},
				{What: "nobody listens", Service: with(func(s *engines.Service) { s.URL.Host = "127.0.0.1:1" }), Want: []string{"127.0.0.1:1", "reached"}},
				{What: "unknown core", Service: with(func(s *engines.Service) { s.URL.Path = "/solr/nowhere" }), Want: []string{host, "no core nowhere"}, NoTarget: true},
				{What: "unknown core, and nothing to create it with", Service: with(func(s *engines.Service) { s.URL.Path, s.URL.RawQuery = "/solr/nowhere", "" }),
					Want: []string{host, "nowhere"}},
				{What: "not Solr", Service: with(func(s *engines.Service) { s.URL.Path = "/other/" + core.name }), Want: []string{host, "404"}},
				{What: "password in the address", Service: with(func(s *engines.Service) { s.URL.User = url.UserPassword("site", s.Password) }), Want: []string{"password_file"}},
				{What: "no core", Service: with(func(s *engines.Service) { s.URL.Path = "/solr" }), Want: []string{"no core", "solr://user@host"}},
				{What: "unknown parameter", Service: with(func(s *engines.Service) { s.URL.RawQuery = "shards=2" }), Want: []string{"shards=2"}},
			}
		},
	}
}

func TestSolrCloudIsRefused(t *testing.T) {
	server := testserver.Solr(t, testserver.SolrCloud)
	service := engines.Service{Name: "search", URL: server.URL("shop")}
	source, err := Engine.Source(service)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	err = source.Prepare(t.Context(), enginetest.NewMemory())
	if err == nil || !strings.Contains(err.Error(), "SolrCloud") || !strings.Contains(err.Error(), "BACKUP") {
		t.Error(err)
	}
}
