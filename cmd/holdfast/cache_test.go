package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/repo/repotest"
)

// TestACacheThatCannotBeWrittenTo, and whose copy of the index is damaged, hinders nothing.
func TestACacheThatCannotBeWrittenTo(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.must(os.Mkdir(s.path("cache"), 0o700))
	s.must(syscall.Mount("tmpfs", s.path("cache"), "tmpfs", 0, "size=16m"))
	defer func() { s.must(syscall.Unmount(s.path("cache"), syscall.MNT_DETACH)) }()
	s.repository()
	day := 0
	next := func() {
		day++
		s.write("master/uploads/changing", repotest.Random(uint64(day), 3000))
		s.create()
	}
	var copies []string
	for len(copies) == 0 {
		next() // until there are so many segments that a copy of them pays
		copies, _ = filepath.Glob(s.path("cache/holdfast/*/index/index.bolt"))
	}
	whole, err := os.ReadFile(copies[0])
	s.must(err)
	const page = 4096
	for at := page / 2; at < len(whole); at += page {
		data := append([]byte(nil), whole...)
		data[at] ^= 1
		s.must(syscall.Mount("", s.path("cache"), "", syscall.MS_REMOUNT, ""))
		s.must(os.RemoveAll(filepath.Dir(copies[0])))
		s.must(os.Mkdir(filepath.Dir(copies[0]), 0o700))
		s.must(os.WriteFile(copies[0], data, 0o600))
		s.must(syscall.Mount("", s.path("cache"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		next()
		s.ok("repo", "check")
	}
	s.ok("repo", "rebuild-index")
	s.ok("repo", "gc", "--grace", "0")
	s.ok("repo", "check", "--read-data")
}

// TestACacheThatIsNone: what stands in its place, or in its files, hinders nothing.
func TestACacheThatIsNone(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteConfig)
	s.rows("master", "one", 10)
	s.repository()
	s.create()
	seen, err := filepath.Glob(s.path("cache/holdfast/*/seen-*.json"))
	s.must(err)
	for _, content := range []string{"", "null", "7", "{\"shop/master\":"} {
		s.must(os.WriteFile(seen[0], []byte(content), 0o600))
		s.create()
	}
	s.must(os.RemoveAll(s.path("cache")))
	s.write("cache", nil)
	s.create()
	s.ok("repo", "gc", "--grace", "0")
	s.ok("repo", "rebuild-index")
	s.ok("repo", "check", "--read-data")
}
