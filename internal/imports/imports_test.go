// Package imports holds the test that imports point one way.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// rules say which packages of this module each may import, and why no others.
// A name ending in /... stands for all beneath it. The first rule that fits a
// package counts.
var rules = []struct {
	of      string
	may     []string
	because string
}{
	{"cmd/...", []string{"..."}, "the command joins everything"},
	{"bench/...", []string{"..."}, "measurements may look at anything"},
	{"internal/demosite/...", nil, "the demo is a site and a user: it knows Holdfast by its command line only"},
	{"internal/testserver/...", nil, "servers know nothing of who tests against them"},
	{"internal/storage/storagetest", []string{"internal/storage"}, "it tests that contract"},
	{"engines/enginetest", []string{"engines", "internal/tree", "internal/blob"}, "it tests that contract"},
	{"chunk", nil, "cut points depend on bytes alone"},
	{"quiesce/...", nil, "the gate must run where nothing else of Holdfast does"},
	{"internal/blake3", nil, "a hash depends on bytes alone"},
	{"internal/blob", []string{"internal/blake3"}, "names come first"},
	{"internal/delta", nil, "the coder is pure"},
	{"internal/seal", nil, "keys do not know what they protect"},
	{"internal/storage", nil, "a storage keeps bytes"},
	{"internal/retention", nil, "a policy is pure"},
	{"internal/environment", []string{"internal/retention"}, "a configuration is a plain value; a policy is part of it"},
	{"index", []string{"internal/blob"}, "the index knows ids and places"},
	{"internal/tree", []string{"internal/blob"}, "the words engines and repository share"},
	{"repo/pack", []string{"internal/blake3", "internal/blob", "internal/seal"}, "a pack can be read without anything else"},
	{"repo/parity", []string{"internal/blake3", "internal/storage"}, "parity needs no key and knows no contents"},
	{"internal/process", nil, "whether a process runs, the system tells"},
	{"internal/activity", []string{"internal/storage", "internal/process"}, "records need a place to be in, and whose they are, no more"},
	{"engines", []string{"internal/tree"}, "the contract speaks of entries and streams"},
	{"engines/dump", []string{"engines", "internal/tree"}, "what dumps have in common knows no server"},
	{"engines/mysql", []string{"engines", "engines/dump", "internal/tree"}, "an engine knows its service, the contract and what dumps have in common, never the repository"},
	{"engines/postgres", []string{"engines", "engines/dump", "internal/tree"}, "an engine knows its service, the contract and what dumps have in common, never the repository"},
	{"engines/...", []string{"engines", "internal/tree"}, "an engine knows its service and the contract, never the repository"},
	{"repo", []string{"chunk", "index", "repo/pack", "repo/parity", "internal/blob", "internal/delta", "internal/process", "internal/seal", "internal/tree", "internal/storage"},
		"the repository knows nothing of engines"},
	{"repo/repotest", []string{"repo", "repo/check", "internal/seal", "internal/storage", "internal/storage/storagetest", "internal/tree"},
		"it makes repositories for tests, and proves them"},
	{"repo/...", []string{"repo", "repo/pack", "repo/parity", "repo/trace", "index", "internal/blob", "internal/seal", "internal/tree", "internal/storage"}, "walks over a repository"},
	{"internal/snapshot", []string{"repo", "engines", "internal/tree", "internal/environment", "internal/activity"},
		"the conductor plays no instrument: storage, seal and the engines' packages stay out"},
	{"internal/imports", nil, "a test"},
	{"internal/soak", nil, "it knows tests alone"},
	{"internal/race", nil, "it knows how it was built, and no more"},
	{"internal/corpora", nil, "a test"},
	{"docs/gc", nil, "a model and its test, no code"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

const module = "holdfast/"

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "holdfast/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; packages++ {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		check(t, name, p.Imports)
	}
	if packages < 10 {
		t.Fatalf("go list found %d packages only", packages)
	}
}

func check(t *testing.T, name string, imports []string) {
	for _, rule := range rules {
		if !fits(rule.of, name) {
			continue
		}
		for _, path := range imports {
			if path == "testing" && !strings.HasSuffix(name, "test") && !strings.HasSuffix(name, "testserver") && name != "internal/soak" {
				t.Errorf("%s imports testing: production code must not", name)
			}
			ours, ok := strings.CutPrefix(path, module)
			if ok && !fitsAny(rule.may, ours) && !within(rule.of, ours) {
				t.Errorf("%s imports %s: %s", name, ours, rule.because)
			}
		}
		return
	}
	t.Errorf("%s: no rule says what it may import", name)
}

// within: packages of one folder that is ruled as a whole may import each other.
func within(of, name string) bool {
	return strings.HasPrefix(of, "internal/demosite") && fits(of, name)
}

func fitsAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if fits(p, name) {
			return true
		}
	}
	return false
}

func fits(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	folder, all := strings.CutSuffix(pattern, "/...")
	return name == folder || all && strings.HasPrefix(name, folder+"/")
}
