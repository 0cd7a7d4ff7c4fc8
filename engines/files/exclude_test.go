package files

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// leftOut walks down path as the engine does: what is excluded takes along all
// beneath it. A path that ends in a slash is a directory.
func leftOut(patterns []pattern, path string) bool {
	names := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i := range names {
		folder := i < len(names)-1 || strings.HasSuffix(path, "/")
		if excludedBy(patterns, names[:i+1], folder) {
			return true
		}
	}
	return false
}

func TestExcludes(t *testing.T) {
	for _, c := range []struct {
		patterns string // one per space
		out, in  string
	}{
		{"*.log", "uploads/a.log uploads/x/y/b.log uploads/d.log/ uploads/d.log/in", "uploads/a.logs uploads/log"},
		{"/uploads/cache/", "uploads/cache/ uploads/cache/a", "uploads/x/cache/ uploads/cache other/cache/"},
		{"uploads/cache", "uploads/cache uploads/cache/", "x/uploads/cache"},
		{"cache/", "uploads/cache/ uploads/x/cache/a", "uploads/cache"},
		{"uploads/*/tmp", "uploads/x/tmp", "uploads/tmp uploads/x/y/tmp"},
		{"uploads/**/tmp", "uploads/tmp uploads/x/tmp uploads/x/y/tmp/", "x/uploads/tmp"},
		{"uploads/x/**", "uploads/x/a uploads/x/y/z", "uploads/x/ uploads/x"},
		{"**/a/b", "uploads/a/b uploads/a/x/a/b", "uploads/b uploads/a/x/b"},
		{"*.jpg !keep.jpg", "uploads/a.jpg", "uploads/keep.jpg uploads/x/keep.jpg"},
		{"dir/ !dir/keep", "uploads/dir/keep", "uploads/dirs"},
		{"uploads/dir/* !uploads/dir/keep", "uploads/dir/a", "uploads/dir/ uploads/dir/keep"},
		{"*.log !dir/", "uploads/dir/x.log", "uploads/dir/"},
		{`\!important \#1 #comment`, "uploads/!important uploads/#1", "uploads/important uploads/#comment"},
		{"[!a-c]x [^x]y q[]]", "uploads/dx uploads/ay uploads/q]", "uploads/ax uploads/xy"},
		{"[[:digit:]]* ?z", "uploads/1a uploads/az", "uploads/a1 uploads/zz1"},
		{"{a,b}", "uploads/{a,b}", "uploads/a"},
		{"\xff", "uploads/\xff", "uploads/\xfe uploads/\uFFFD"},
		{"a**b", "uploads/ab uploads/axxb", "uploads/a/b"},
		{"/* !/uploads", "x y/", "uploads/ uploads/x"},
		{"/", "", "uploads/ uploads/a"},
	} {
		patterns, err := parsePatterns(strings.Fields(c.patterns))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Fields(c.out) {
			if !leftOut(patterns, p) {
				t.Errorf("%q should leave out %q", c.patterns, p)
			}
		}
		for _, p := range strings.Fields(c.in) {
			if leftOut(patterns, p) {
				t.Errorf("%q should not leave out %q", c.patterns, p)
			}
		}
	}
}

func TestExcludePatternsThatCanNeverMatchAreRefused(t *testing.T) {
	for _, bad := range []string{"[a", "a/[b", "[", "[]", `x\`, "[[:nosuch:]]", `[a\`, "[a-"} {
		if _, err := parsePatterns([]string{bad}); err == nil || !strings.Contains(err.Error(), bad[:1]) {
			t.Errorf("pattern %q: %v", bad, err)
		}
	}
	if _, err := parsePatterns([]string{"", "# comment", "   ", "!"}); err != nil {
		t.Errorf("lines that say nothing: %v", err)
	}
}

// TestExcludesAgreeWithGit asks git about random lists of patterns.
func TestExcludesAgreeWithGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is missing: apt-get install git")
	}
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	var paths []string
	for _, a := range []string{"a", "b", "ab", "a b", "]x"} {
		for _, b := range []string{"", "/a", "/b", "/ab", "/x.y", "/-"} {
			for _, c := range []string{"", "/a", "/b", "/ab/a"} {
				if b != "" || c == "" {
					paths = append(paths, a+b+c)
				}
			}
		}
	}
	pieces := []string{"a", "b", "ab", "*", "**", "?", "/", "/", "/**/", "[ab]", "[!a]", "[^b]", "[a-c]", "[]x]", `\a`, "x", ".", "-",
		"[[:alpha:]]", "[a/b]", " ", "***", "a*", "*b", "[-a]", "[a-]", `[\]]`, `\*`}
	repo := newIgnoreRepo(t, paths)
	for round := range 150 {
		var list []string
		for range 1 + random.IntN(4) {
			line := ""
			if random.IntN(4) == 0 {
				line = "!"
			}
			for range 1 + random.IntN(5) {
				line += pieces[random.IntN(len(pieces))]
			}
			if random.IntN(4) == 0 {
				line += "/"
			}
			list = append(list, line)
		}
		patterns, err := parsePatterns(list)
		if err != nil {
			t.Fatalf("seed %d round %d: %v", seed, round, err)
		}
		ignored := repo.ignores(t, list)
		for _, p := range paths {
			asked := p
			if repo.directory[p] {
				asked += "/"
			}
			if leftOut(patterns, asked) != ignored[p] {
				t.Errorf("seed %d round %d: patterns %q, path %q: git says %v", seed, round, list, asked, ignored[p])
			}
		}
	}
}

// ignoreRepo is a git repository with some files, in which every path that
// another one begins with is a directory.
type ignoreRepo struct {
	dir       string
	paths     []string
	directory map[string]bool
}

func newIgnoreRepo(t *testing.T, paths []string) *ignoreRepo {
	r := &ignoreRepo{dir: t.TempDir(), paths: paths, directory: map[string]bool{}}
	for _, p := range paths {
		for i := range p {
			if p[i] == '/' {
				r.directory[p[:i]] = true
			}
		}
	}
	for _, p := range paths {
		if r.directory[p] {
			check(t, os.MkdirAll(filepath.Join(r.dir, p), 0o755))
		} else {
			write(t, r.dir, map[string]string{p: ""})
		}
	}
	r.git(t, "", "init", "-q")
	return r
}

func (r *ignoreRepo) git(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "core.excludesFile=/dev/null"}, args...)...)
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.dir)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() > 1 || err != nil && !ok {
		t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

func (r *ignoreRepo) ignores(t *testing.T, list []string) map[string]bool {
	t.Helper()
	write(t, r.dir, map[string]string{".gitignore": strings.Join(list, "\n") + "\n"})
	answer := r.git(t, strings.Join(r.paths, "\x00")+"\x00", "check-ignore", "--no-index", "-z", "--stdin")
	ignored := map[string]bool{}
	for _, p := range strings.Split(answer, "\x00") {
		ignored[p] = true
	}
	return ignored
}

func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{"*.log", "!a/**/b/", "[a-z]*[!x]?", `\#[[:alpha:]]`, "[", "**", "/a//b"} {
		f.Add(seed, "a/b/c.log")
	}
	f.Fuzz(func(t *testing.T, line, path string) {
		patterns, err := parsePatterns([]string{line})
		if err != nil || len(patterns) == 0 || path == "" {
			return
		}
		elements := strings.Split(path, "/")
		patterns[0].include = false
		if excludedBy(patterns, elements, false) && !excludedBy(patterns, elements, true) {
			t.Errorf("%q matches %q as a file but not as a directory", line, path)
		}
	})
}
