package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestALostSnapshotStaysMissed: which of them is lost, and whether anybody has looked
// in between, makes no difference; nor does how many are taken afterwards.
func TestALostSnapshotStaysMissed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		taken int
		lost  []int // places in the order in which they were taken
	}{
		{"the only one", 1, []int{0}},
		{"the newest", 2, []int{1}},
		{"the newest two", 3, []int{1, 2}},
		{"the oldest", 2, []int{0}},
		{"all", 2, []int{0, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.repository()
			var names []string
			for i := range test.taken {
				s.files("master", fmt.Sprint("lost", i), 5)
				names = append(names, s.create())
			}
			for _, i := range test.lost {
				s.must(os.Rename(s.path("repo/snapshots", names[i]), s.path(names[i])))
			}
			for later := range 4 {
				stdout, _, code := s.run("repo", "check")
				if want := fmt.Sprintf("without having been deleted: %d", len(test.lost)); later > 0 && (code != 1 || !strings.Contains(stdout, want)) {
					t.Errorf("check after %d more: exit code %d, %q; want %q", later, code, stdout, want)
				}
				if !strings.Contains(stdout, "\n  next: put them back") || !strings.Contains(stdout, "--accept-loss") {
					t.Errorf("check does not say what to do: %s", stdout)
				}
				if _, stderr, code := s.run("-e", "master", "snapshot", "list"); code != 1 || !strings.Contains(stderr, "--accept-loss") {
					t.Errorf("list after %d more: exit code %d, %s", later, code, stderr)
				}
				if _, stderr, code := s.run("repo", "repair"); code != 1 || !strings.Contains(stderr, "--accept-loss") {
					t.Errorf("repair after %d more: exit code %d, %s", later, code, stderr)
				}
				_, stderr, code := s.run("repo", "gc", "--grace", "0")
				if code != 1 || !strings.Contains(stderr, "--accept-loss") {
					t.Errorf("gc after %d more: exit code %d, %s", later, code, stderr)
				}
				s.files("master", fmt.Sprint("later", later), 5)
				s.create()
			}

			// Put back, nothing is missing; lost again, that can be accepted once for all.
			for lost, move := range []func(object, aside string) error{
				func(object, aside string) error { return os.Rename(aside, object) },
				func(object, aside string) error { return os.Rename(object, aside) },
			} {
				for _, i := range test.lost {
					s.must(move(s.path("repo/snapshots", names[i]), s.path(names[i])))
				}
				told := s.ok("repo", "gc", "--grace", "0", "--accept-loss")
				if strings.Count(told, "Accepted the loss of") != lost*len(test.lost) {
					t.Errorf("accepted is the loss of %d: %s", lost*len(test.lost), told)
				}
				for _, i := range test.lost {
					which := "a snapshot whose name nothing tells" // it was lost before the next one was taken
					if i+1 < test.taken && !slices.Contains(test.lost, i+1) {
						which = "snapshot " + names[i]
					}
					if line := fmt.Sprintf("Accepted the loss of %s, number %d of master (shop)\n", which, i+1); lost == 1 && !strings.Contains(told, line) {
						t.Errorf("%q is not said: %s", line, told)
					}
				}
				s.ok("repo", "check", "--read-data")
				s.create()
				s.ok("repo", "gc", "--grace", "0")
			}
		})
	}
}

// TestADamagedRecordHidesNoLoss: what a damaged mark says is not needed to miss a
// snapshot; that of a damaged list is, so those that were purged are missed with it.
func TestADamagedRecordHidesNoLoss(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ object, missed, doubt string }{
		{"pins/*/*", "without having been deleted: 1", ""},
		{"condemned/*", "without having been deleted: 2", "some of them were purged"},
	} {
		t.Run(test.object, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.repository()
			purged, lost := s.create(), s.create()
			s.ok("snapshot", "pin", s.create())
			s.ok("snapshot", "delete", purged, "--yes")
			s.ok("repo", "gc", "--grace", "0")
			s.ok("repo", "check")
			s.must(os.Remove(s.path("repo/snapshots", lost)))
			found, err := filepath.Glob(s.path("repo", test.object))
			s.must(err)
			s.must(damage(largest(found), "flip"))
			object, err := filepath.Rel(s.path("repo"), largest(found))
			s.must(err)
			stdout, _, code := s.run("repo", "check")
			if code != int(exitFailed) || !strings.HasPrefix(stdout, object+": ") || !strings.Contains(stdout, test.missed) || !strings.Contains(stdout, test.doubt) {
				t.Errorf("exit code %d, %s; want %s, %q and %q", code, stdout, object, test.missed, test.doubt)
			}
		})
	}
}

// TestDeletedSnapshotsAreNotMissed, whether or not the newest are among them.
func TestDeletedSnapshotsAreNotMissed(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	names := []string{s.create(), s.create(), s.create()}
	for _, gone := range [][]string{names[2:], names[:2]} {
		for _, n := range gone {
			s.ok("snapshot", "delete", n, "--yes")
		}
		s.ok("repo", "check")
		s.ok("repo", "gc", "--grace", "0")
		s.ok("repo", "check")
		s.create()
	}
	left, err := filepath.Glob(s.path("repo/snapshots/*"))
	if s.must(err); len(left) != 2 {
		t.Errorf("%d snapshots are left, want the two that were taken last", len(left))
	}
	s.ok("repo", "check", "--read-data")
	s.must(os.RemoveAll(s.path("cache"))) // on a host that has seen nothing
	s.create()
	s.ok("repo", "check", "--read-data")
}
