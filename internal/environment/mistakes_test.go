package environment_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"holdfast/internal/environment"
)

// TestMistakes loads every file of testdata/mistakes.txtar; what it should say
// stands in its "want" twin.
func TestMistakes(t *testing.T) {
	data, err := os.ReadFile("testdata/mistakes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(data)
	if len(archive.Files)%2 != 0 || len(archive.Files) < 40 {
		t.Fatalf("%d files in the archive", len(archive.Files))
	}
	for i := 0; i < len(archive.Files); i += 2 {
		name, want := archive.Files[i].Name, strings.TrimSpace(string(archive.Files[i+1].Data))
		t.Run(name, func(t *testing.T) {
			if archive.Files[i+1].Name != "want" {
				t.Fatalf("%s is followed by %s", name, archive.Files[i+1].Name)
			}
			c, err := environment.Load(environment.Input{
				Directory: site(t, string(archive.Files[i].Data)),
				Lookup:    variables("SECRET=s3cret", "EMPTY=", "BADHOST=a b/s3cret"),
				Schemes:   []string{"mysql", "mariadb", "sqlite"},
			})
			if strings.HasPrefix(name, "retention ") { // what does not need the policy works
				if err != nil {
					t.Fatalf("the file is refused: %v", err)
				}
				_, _, err = c.Retention("e")
			}
			if err == nil {
				t.Fatal("was accepted")
			}
			if err.Error() != want {
				t.Errorf("says\n%s\nwant\n%s", err, want)
			}
			if !errors.Is(err, environment.ErrInvalid) {
				t.Error("is no ErrInvalid")
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Error("shows a secret")
			}
		})
	}
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	directory := site(t, minimal+"#"+strings.Repeat("x", 1<<20))
	_, err := environment.Load(environment.Input{Directory: directory, Lookup: variables()})
	if !errors.Is(err, environment.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
}

// A list that many environments share counts in each of them.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("project: p\nrepository: /r\nenvironments:\n  e: {exclude: &all [" + strings.Repeat("'**/x', ", 1000) + "'**/y']}\n")
	for i := range 60 {
		fmt.Fprintf(&b, "  e%d: {exclude: *all}\n", i)
	}
	_, err := environment.Load(environment.Input{Directory: site(t, b.String()), Lookup: variables()})
	if !errors.Is(err, environment.ErrInvalid) || !strings.Contains(err.Error(), "more than 50000 values, aliases included") {
		t.Errorf("%v, want ErrInvalid", err)
	}
	loop := "project: p\nrepository: /r\nenvironments: &a {x: [*a]}\n"
	if _, err := environment.Load(environment.Input{Directory: site(t, loop), Lookup: variables()}); !errors.Is(err, environment.ErrInvalid) {
		t.Errorf("a loop: %v, want ErrInvalid", err)
	}
	once := "project: p\nrepository: /r\nenvironments:\n  a: {exclude: &x ['**/tmp'], mounts: {u: /a}}\n  b: {exclude: *x}\n"
	c := load(t, environment.Input{Directory: site(t, once)})
	if e := selected(t, c, "b"); len(e.Exclude) != 1 {
		t.Errorf("an alias gave %q", e.Exclude)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"services", "mounts", "exclude", "create", "list"}
	for found, want := range map[string]string{
		"servces": "services", "service": "services", "mount": "mounts", "lst": "list", "craete": "create",
		"zzz": "", "": "", "restore": "", strings.Repeat("x", 1000): "",
	} {
		if got := environment.Nearest(found, words); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", found, got, want)
		}
	}
}
