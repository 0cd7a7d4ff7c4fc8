// Package corpora holds the test that every fuzz target has a corpus.
package corpora

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// TestEveryFuzzTargetHasACorpus: what is committed under testdata/fuzz is tried by
// every run of the tests. An empty corpus, or one whose target was renamed, is none.
func TestEveryFuzzTargetHasACorpus(t *testing.T) {
	targets, inputs := map[string]bool{}, 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range target.FindAllSubmatch(source, -1) {
			corpus := filepath.Join(filepath.Dir(path), "testdata", "fuzz", string(found[1]))
			targets[corpus] = true
			entries, err := os.ReadDir(corpus)
			if err != nil || len(entries) == 0 {
				t.Errorf("%s: %s has no corpus", path, found[1])
			}
			inputs += len(entries)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*/testdata/fuzz/*", "*/*/testdata/fuzz/*", "*/*/*/testdata/fuzz/*"} {
		corpora, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, corpus := range corpora {
			if !targets[corpus] {
				t.Errorf("%s belongs to no fuzz target", corpus)
			}
		}
	}
	if len(targets) < 30 {
		t.Errorf("%d fuzz targets found only", len(targets))
	}
	t.Logf("%d targets", len(targets))
	t.Attr("cases", strconv.Itoa(inputs))
}
