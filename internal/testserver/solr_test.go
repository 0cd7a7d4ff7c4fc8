package testserver_test

import (
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestSolrKeepsItsCoresOverAKill(t *testing.T) {
	s := testserver.Solr(t)
	s.Get("/admin/cores?action=CREATE&name=shop&instanceDir=shop&configSet=plain")
	s.Kill()
	s.Start()
	if text := s.Get("/admin/cores?action=STATUS&core=shop"); !strings.Contains(text, `"name":"shop"`) {
		t.Error(text)
	}
	response, err := http.Get(s.Address() + "/admin/cores?action=STATUS&core=shop")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a password: %s", response.Status)
	}
}
