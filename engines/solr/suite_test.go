package solr

import (
	"net/url"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

func TestSuite(t *testing.T) {
	server := testserver.Solr(t)
	enginetest.Run(t, enginetest.Harness{
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
				{What: "wrong password", Service: with(func(s *engines.Service) { s.Password = "wrong battery" }), Want: []string{host, "site", "password is wrong"}},
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
	})
}
