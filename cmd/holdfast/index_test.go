package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnIndexThatIsGoneIsNamedFirst: what a part of the index told is not found, which
// must not look as if it were lost, or nobody's.
func TestAnIndexThatIsGoneIsNamedFirst(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage func(s *site, segments []string)
		first  string // of what check says
		create string // what a create says; it fails if that is a refusal
		code   int    // of the create
		blobs  bool   // check names what follows from it, too
	}{
		{"all of it", func(s *site, segments []string) {
			for _, o := range segments {
				s.must(os.Remove(o))
			}
		}, "index: the index is missing, all of it", "holdfast repo rebuild-index", 1, false},
		{"one segment", func(s *site, segments []string) { s.must(os.Remove(largest(segments))) },
			"index: part of the index is missing: no segment names ", "parts of the index are missing", 0, true},
		{"the half of one", func(s *site, segments []string) { s.must(damage(largest(segments), "cut")) },
			"index/", "holdfast repo rebuild-index", 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.files("master", "one", 20)
			s.repository()
			s.create()
			s.files("master", "two", 20)
			s.create()
			segments, err := filepath.Glob(s.path("repo/index/*"))
			if s.must(err); len(segments) < 2 {
				t.Fatalf("%d segments", len(segments))
			}
			test.damage(s, segments)

			stdout, stderr, code := s.run("repo", "check")
			first, next, _ := strings.Cut(stdout, "\n")
			if code != 1 || !strings.HasPrefix(first, test.first) || !strings.HasPrefix(next, "  next: \"holdfast repo rebuild-index\"") {
				t.Errorf("check: exit code %d; want %q and what to do first:\n%s", code, test.first, stdout)
			}
			if strings.Contains(stdout, "\nblob ") != test.blobs {
				t.Errorf("check names blobs, or does not:\n%s", stdout)
			}
			if strings.Contains(stderr, "unfinished") || !strings.Contains(stderr, "\"holdfast repo rebuild-index\" first") {
				t.Errorf("check: %s", stderr)
			}
			if _, stderr, code := s.run("-e", "master", "snapshot", "create"); code != test.code || !strings.Contains(stderr, test.create) {
				t.Errorf("create: exit code %d, %s; want %d and %q", code, stderr, test.code, test.create)
			}
			s.ok("repo", "rebuild-index")
			s.ok("repo", "check", "--read-data")
			s.create()
		})
	}
}
