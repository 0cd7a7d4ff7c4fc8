package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/repo/repotest"
)

// TestAnObjectThatIsFarTooLong, as a file is whose length the file system has lost, is
// damaged like others: it is named, mended or set aside, and never read into memory.
func TestAnObjectThatIsFarTooLong(t *testing.T) {
	t.Parallel()
	for object, after := range map[string]exitCode{"keys": exitDone, "packs/*/*": exitDone, "index/*": exitDone, "pins/*/*": exitDone,
		"snapshots/*": exitFailed, "condemned/*": exitFailed} { // which snapshots are rightly gone is lost
		for parity, after := range map[bool]exitCode{false: after, true: exitDone} {
			t.Run(fmt.Sprintf("%s, parity %v", object, parity), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, siteConfig)
				s.rows("master", "one", 10)
				s.repository()
				s.ok("snapshot", "delete", s.create(), "--yes")
				s.write("master/uploads/large", repotest.Random(1, 200_000))
				name := s.create()
				s.ok("snapshot", "pin", name)
				s.ok("repo", "gc", "--grace", "0")
				var other struct{ Slot string }
				s.must(json.Unmarshal([]byte(s.ok("repo", "key", "add", "--token", "--json")), &other))
				if parity {
					s.ok("repo", "parity", "on", "--percent", "100")
				}
				file := s.path("repo/keys", other.Slot)
				if object != "keys" {
					found, err := filepath.Glob(s.path("repo", object))
					s.must(err)
					file = largest(found)
				}
				s.must(os.Chmod(file, 0o600))
				s.must(os.Truncate(file, 1<<40))
				named, err := filepath.Rel(s.path("repo"), file)
				s.must(err)
				if stdout, stderr, code := s.run("repo", "check"); code != int(exitFailed) || !strings.Contains(stdout, named) {
					t.Errorf("check: exit code %d, %s%s", code, stdout, stderr)
				}
				if stdout, stderr, code := s.run("repo", "repair"); code != int(after) {
					t.Errorf("repair: exit code %d, %s%s", code, stdout, stderr)
				}
				if after == exitDone {
					s.ok("snapshot", "restore", name, "--to", s.path("out"))
				} else {
					s.run("repo", "repair", "--give-up-snapshots")
					s.ok("repo", "gc", "--accept-loss")
				}
				s.ok("repo", "check", "--read-data")
				s.create()
			})
		}
	}
}
