package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"holdfast/repo/repotest"
)

// TestEachCopyIsReadByItself: parts that were read of one copy of a repository are to be
// read of the other one too.
func TestEachCopyIsReadByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	for day := range 6 {
		s.write("master/uploads/changing", repotest.Random(uint64(day), 3000))
		s.create()
	}
	s.must(exec.Command("cp", "-r", s.path("repo"), s.path("copy")).Run())
	packs, err := filepath.Glob(s.path("repo/packs/*/*"))
	s.must(err)
	for _, file := range packs {
		s.must(damage(file, "flip"))
	}
	named := map[string]bool{}
	for range 2 {
		stdout, _, _ := s.run("repo", "check", "--read-data-subset", "50%", "--json")
		var report struct{ Problems []struct{ Object string } }
		s.must(json.Unmarshal([]byte(stdout), &report))
		for _, p := range report.Problems {
			named[p.Object] = true
		}
		s.ok("--repo", s.path("copy"), "repo", "check", "--read-data-subset", "50%")
	}
	for _, file := range packs {
		object, err := filepath.Rel(s.path("repo"), file)
		s.must(err)
		if !named[object] {
			t.Errorf("two halves are not all: %s was not read", object)
		}
	}
}
