package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatDoesNotOpenIsNamed: what is damaged or gone is not taken for a wrong
// password, and what helps is said, and does help.
func TestWhatDoesNotOpenIsNamed(t *testing.T) {
	t.Parallel()
	const repair = "\"holdfast repo repair\" mends it from parity"
	for _, test := range []struct {
		name, object, how string
		parity            bool
		code              exitCode
		want              string
		hint              string
	}{
		{"no slot", "keys/*", "remove", false, exitFailed, "there is no key slot of the repository", repair},
		{"no slot, parity", "keys/*", "remove", true, exitFailed, "there is no key slot of the repository: keys/SLOT is missing", repair},
		{"a cut slot", "keys/*", "cut", false, exitFailed, "keys/SLOT is damaged", repair},
		{"a cut slot, parity", "keys/*", "cut", true, exitFailed, "keys/SLOT is damaged", repair},
		{"a flipped slot", "keys/*", "120=0", false, exitWrongPassword, "wrong password or token", "it came from HOLDFAST_PASSWORD"}, // nobody can tell
		{"a flipped slot, parity", "keys/*", "120=0", true, exitFailed, "keys/SLOT is damaged", repair},
		{"a slot of another repository, parity", "keys/*", "9=0", true, exitFailed, "keys/SLOT is damaged", repair},
		{"a short config", "config", "cut", false, exitFailed, "config", repair},
		{"a short config, parity", "config", "cut", true, exitFailed, "config", repair},
		{"a config of another repository, parity", "config", "50=0", true, exitFailed, "config is damaged", repair},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.repository()
			s.create()
			if test.parity {
				s.ok("repo", "parity", "on")
			}
			found, err := filepath.Glob(s.path("repo", test.object))
			if s.must(err); len(found) != 1 {
				t.Fatalf("%d objects", len(found))
			}
			whole, err := os.ReadFile(found[0])
			s.must(err)
			object, err := filepath.Rel(s.path("repo"), found[0])
			s.must(err)
			s.must(damage(found[0], test.how))

			want := strings.ReplaceAll(test.want, "SLOT", filepath.Base(found[0]))
			_, stderr, code := s.run("snapshot", "list", "--all")
			text, hint, _ := strings.Cut(stderr, "hint: ")
			if code != int(test.code) || !strings.HasPrefix(text, "holdfast: "+want) || !strings.HasPrefix(hint, test.hint) {
				t.Errorf("exit code %d, %s; want %d, %q and %q", code, stderr, test.code, want, test.hint)
			}
			if test.code != exitWrongPassword && strings.Contains(stderr, "wrong password") {
				t.Errorf("the password is right, but %s", stderr)
			}
			if test.parity {
				if foretold := s.ok("repo", "repair", "--dry-run", "--json"); strings.Count(foretold, `"object": "`+filepath.ToSlash(object)+`"`) != 1 {
					t.Errorf("a dry run does not name %s once: %s", object, foretold)
				}
				if text := s.ok("repo", "repair", "--dry-run"); !strings.Contains(text, "would be mended by parity") {
					t.Errorf("a dry run says %s", text)
				}
				s.ok("repo", "repair")
				s.ok("repo", "check", "--read-data")
				if now, err := os.ReadFile(found[0]); err != nil || string(now) != string(whole) {
					t.Errorf("it is not what it was: %v", err)
				}
			}
		})
	}
}

// TestAWrongPasswordIsToldAsOne, also where parity knows that the slots are whole.
func TestAWrongPasswordIsToldAsOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	s.create()
	s.ok("repo", "parity", "on")
	s.env = append(s.env, "HOLDFAST_PASSWORD=wrong")
	if _, stderr, code := s.run("snapshot", "list", "--all"); code != int(exitWrongPassword) || !strings.HasPrefix(stderr, "holdfast: wrong password or token\nhint: it came from HOLDFAST_PASSWORD") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
