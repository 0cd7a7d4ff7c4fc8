package testserver_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestSolrKeepsItsCoresOverAKill(t *testing.T) {
	s := testserver.Solr(t)
	ask := func(password, path string) string {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, s.Address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(s.User, password)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ask(s.Password, "/admin/cores?action=CREATE&name=shop&instanceDir=shop&configSet=plain")
	s.Kill()
	s.Start()
	if text := ask(s.Password, "/admin/cores?action=STATUS&core=shop"); !strings.Contains(text, `"name":"shop"`) {
		t.Error(text)
	}
	if text := ask("wrong", "/admin/cores?action=STATUS&core=shop"); strings.Contains(text, "shop") {
		t.Error("the server asks for no password")
	}
}
