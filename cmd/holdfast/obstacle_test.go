package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/repo/repotest"
)

// putOther puts something that is no file where an object is, or could be.
var putOther = map[string]func(file string) error{
	"a FIFO":          func(file string) error { return syscall.Mkfifo(file, 0o600) },
	"a directory":     func(file string) error { return os.MkdirAll(filepath.Join(file, "within"), 0o700) },
	"a symbolic link": func(file string) error { return os.Symlink("/dev/zero", file) },
	"a socket": func(file string) error { // whose path is too long to be made there
		dir, err := os.MkdirTemp("", "")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		defer l.Close()
		return os.Rename(filepath.Join(dir, "s"), file)
	},
}

// TestWhatIsNoFileInAnObjectsPlace: nothing waits for it or is called busy because of
// it; check names it, repair sets it aside, and with parity all is as before.
func TestWhatIsNoFileInAnObjectsPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, object, what string
		parity             bool
		after              exitCode // of the repair
	}{
		{"the newest list of condemned packs", "condemned/*", "a FIFO", true, exitDone},
		{"the newest list of condemned packs, without parity", "condemned/*", "a symbolic link", false, exitFailed}, // which snapshots are rightly gone is lost
		{"the next list of condemned packs", "condemned/00000099", "a directory", false, exitDone},
		{"a pack", "packs/*/*", "a symbolic link", true, exitDone},
		{"a pack, without parity", "packs/*/*", "a FIFO", false, exitIncomplete},
		{"a snapshot", "snapshots/*", "a socket", true, exitDone},
		{"that a snapshot is pinned", "pins/*/*", "a FIFO", false, exitDone},
		{"how much parity there is to be", "parity/settings/*", "a FIFO", true, exitDone},
		{"the only key slot", "keys/*", "a directory", true, exitDone},
		{"the config", "config", "a FIFO", true, exitDone},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.repository()
			s.ok("snapshot", "delete", s.create(), "--yes")
			s.write("master/uploads/large", repotest.Random(1, 200_000)) // in a pack that is larger than all listings
			s.ok("snapshot", "pin", s.create())
			if strings.HasPrefix(test.object, "condemned") {
				s.ok("repo", "gc", "--grace", "0")
			}
			if test.parity {
				s.ok("repo", "parity", "on", "--percent", "100")
			}
			file, next := s.path("repo", test.object), true
			if found, err := filepath.Glob(file); len(found) > 0 {
				s.must(err)
				file, next = largest(found), false
				s.must(os.Remove(file))
			}
			s.must(putOther[test.what](file))
			object, err := filepath.Rel(s.path("repo"), file)
			s.must(err)

			for _, command := range []string{"check", "gc"} {
				stdout, stderr, code := s.run("repo", command)
				told := stdout + stderr
				named := strings.Contains(told, object) && strings.Contains(told, test.what) && strings.Contains(told, "repo repair")
				if code != int(exitFailed) && (command == "check" || code != 0) || command == "check" && !named {
					t.Errorf("%s: exit code %d, %s", command, code, told)
				}
			}
			heals := strings.HasPrefix(test.object, "packs") // a create would, by storing anew what is missing
			if _, stderr, code := s.run("-e", "master", "snapshot", "create", "--dry-run="+fmt.Sprint(heals)); code != 0 && !strings.Contains(stderr, object) {
				t.Errorf("create: exit code %d, %s", code, stderr)
			}
			stdout, _, _ := s.run("repo", "repair", "--dry-run")
			if !strings.Contains(stdout, object+": something that is no file stands in its place: "+test.what+": would be set aside") {
				t.Errorf("the dry run says %s", stdout)
			}
			stdout, stderr, code := s.run("repo", "repair")
			if code != int(test.after) || !strings.Contains(stdout, test.what+": set aside") {
				t.Errorf("repair: exit code %d, %s%s", code, stdout, stderr)
			}
			if info, err := os.Lstat(s.path("repo/aside", object)); err != nil || info.Mode().IsRegular() {
				t.Errorf("it is not aside: %v", err)
			}
			if _, err := os.Lstat(file); test.parity == os.IsNotExist(err) && !next && test.name != "that a snapshot is pinned" {
				t.Errorf("in its place: %v", err)
			}
			if list, _, _ := s.run("snapshot", "list", "--all", "--json"); test.after == exitDone && !strings.Contains(list, `"pinned": true`) {
				t.Errorf("it is not pinned any more: %s", list)
			}
			if test.after == exitFailed {
				s.ok("repo", "gc", "--accept-loss")
			}
			s.ok("repo", "check", "--read-data")
			s.ok("repo", "gc", "--grace", "0")
			s.create()
		})
	}
}

// TestAFileInThePlaceOfAFolder: nothing can be put beneath it, and what was there is not
// listed.
func TestAFileInThePlaceOfAFolder(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"packs/*", "packs", "index", "snapshots", "trash", "condemned"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteConfig)
			s.rows("master", "one", 10)
			s.repository()
			for range 2 {
				s.ok("repo", "gc", "--grace", "0")
				s.ok("snapshot", "delete", s.create(), "--yes")
			}
			s.create()
			found, err := filepath.Glob(s.path("repo", folder))
			s.must(err)
			object, err := filepath.Rel(s.path("repo"), found[0])
			s.must(err)
			s.must(os.Rename(found[0], s.path("elsewhere")))
			s.must(os.WriteFile(found[0], []byte("a pack that was copied back without its folder"), 0o400))
			told := object + ": a file stands where a directory must be"
			stdout, stderr, code := s.run("repo", "check")
			if code != int(exitFailed) || !strings.Contains(stdout, told) {
				t.Errorf("check: exit code %d, %s%s", code, stdout, stderr)
			}
			if _, stderr, code := s.run("repo", "repair"); code != int(exitFailed) || !strings.Contains(stderr, "a file stands where a directory must be") {
				t.Errorf("repair: exit code %d, %s", code, stderr)
			}
			s.must(os.Remove(found[0]))
			s.must(os.Rename(s.path("elsewhere"), found[0]))
			s.ok("repo", "check", "--read-data")
			s.ok("repo", "gc", "--grace", "0")
			s.create()
		})
	}
}

// TestSnapshotsThatAreNotListed are not taken for none, on a machine that has seen none
// either: nothing of theirs is collected.
func TestSnapshotsThatAreNotListed(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	name := s.create()
	s.must(os.Rename(s.path("repo/snapshots"), s.path("elsewhere")))
	s.must(os.Symlink(s.path("elsewhere"), s.path("repo/snapshots")))
	s.must(os.RemoveAll(s.path("cache")))
	for range 2 {
		if _, stderr, code := s.run("repo", "gc", "--grace", "0"); code != int(exitFailed) || !strings.Contains(stderr, "nothing was collected") || !strings.Contains(stderr, "a symbolic link") {
			t.Errorf("gc: exit code %d, %s", code, stderr)
		}
	}
	s.must(os.Remove(s.path("repo/snapshots")))
	s.must(os.Rename(s.path("elsewhere"), s.path("repo/snapshots")))
	s.ok("repo", "check", "--read-data")
	s.ok("snapshot", "restore", name, "--to", s.path("out"))
}

// TestAFolderThatIsALink: what belongs there may be elsewhere, so it is named and left.
func TestAFolderThatIsALink(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	s.create()
	s.must(os.Rename(s.path("repo/packs"), s.path("elsewhere")))
	s.must(os.Symlink(s.path("elsewhere"), s.path("repo/packs")))
	stdout, _, code := s.run("repo", "check")
	if code != int(exitFailed) || !strings.Contains(stdout, "packs: something that is no file stands in its place: a symbolic link") {
		t.Errorf("check: exit code %d, %s", code, stdout)
	}
	for _, dry := range []string{"true", "false"} {
		if _, stderr, code := s.run("repo", "repair", "--dry-run="+dry); code != int(exitFailed) || !strings.Contains(stderr, "packs is damaged: something that is no file") {
			t.Errorf("repair: exit code %d, %s", code, stderr)
		}
	}
	s.must(os.Remove(s.path("repo/packs")))
	s.must(os.Rename(s.path("elsewhere"), s.path("repo/packs")))
	s.ok("repo", "check", "--read-data")
	s.ok("repo", "repair")
}
