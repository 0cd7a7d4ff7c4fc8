package testserver

import (
	"os"
	"path/filepath"
	"testing"
)

// fetched is the directory in which the script install keeps servers that are no
// Debian packages. They do not run as root, and must be able to read it.
func fetched(tb testing.TB) string {
	tb.Helper()
	if os.Geteuid() == 0 {
		return "/var/cache/holdfast"
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(cache, "holdfast")
}
