package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/testserver"
)

func TestSolrSite(t *testing.T) {
	t.Parallel()
	server := testserver.Solr(t)
	config := "project: shop\nrepository: repo\nenvironments:\n"
	for _, e := range []string{"master", "staging"} {
		config += fmt.Sprintf("  %s:\n    services: {search: {url: \"%s\", password: \"${SOLR_PASSWORD}\"}}\n", e, server.URL("shop_"+e))
		server.Get("/admin/cores?action=CREATE&configSet=plain&instanceDir=shop_" + e + "&name=shop_" + e)
	}
	s := newSite(t, config)
	s.env = append(s.env, "SOLR_PASSWORD="+server.Password)
	server.Post("/shop_master/update", `[{"id": "one", "title_s": "thing one"}, {"id": "two", "title_s": "thing two"}]`)
	server.Post("/shop_staging/update", `[{"id": "old"}]`)
	found := func(core string) string {
		server.Get("/" + core + "/update?commit=true")
		return server.Get("/" + core + "/select?q=*:*&sort=id+asc&wt=csv&fl=id,title_s")
	}

	s.repository()
	day1 := s.create()
	want := found("shop_master")
	server.Post("/shop_master/update", `[{"id": "three", "title_s": "thing three"}]`)
	s.create()
	if out := s.ok("-e", "master", "snapshot", "diff", day1, "latest"); !strings.Contains(out, "search/index/") || strings.Contains(out, "search/conf") {
		t.Errorf("the second day differs by:\n%s", out)
	}

	// Into staging, and back by the line that undoes it.
	out := s.ok("-e", "master", "snapshot", "restore", day1, "--target", "staging", "--yes")
	if got := found("shop_staging"); got != want {
		t.Errorf("restored %q instead of %q", got, want)
	}
	_, undo, ok := strings.Cut(out, "To undo: holdfast ")
	if !ok {
		t.Fatalf("no line undoes it:\n%s", out)
	}
	s.ok(append(strings.Fields(undo), "--yes")...)
	if got := found("shop_staging"); !strings.Contains(got, "old") {
		t.Errorf("after undoing: %q", got)
	}
	if left := server.Get("/admin/cores?action=STATUS&indexInfo=false"); strings.Count(left, `"name":`) != 2 {
		t.Errorf("left behind: %s", left)
	}

	// By hand, as docs/engines.md says.
	s.ok("snapshot", "restore", day1, "--only", "search", "--to", "out")
	core := filepath.Join(server.Home, "byhand")
	s.must(os.CopyFS(filepath.Join(core, "conf"), os.DirFS(s.path("out/search/conf"))))
	s.must(os.CopyFS(filepath.Join(core, "data", "index"), os.DirFS(s.path("out/search/index"))))
	server.Give(core)
	server.Get("/admin/cores?action=CREATE&name=byhand&instanceDir=byhand")
	if got := found("byhand"); got != want {
		t.Errorf("by hand: %q instead of %q", got, want)
	}
	s.ok("repo", "check", "--read-data")
}
