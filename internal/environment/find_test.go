package environment_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/environment"
)

func TestFindingTheFile(t *testing.T) {
	here, other := site(t, minimal), site(t, minimal)
	empty := t.TempDir()
	named := filepath.Join(other, "holdfast.yaml")
	for _, test := range []struct {
		name string
		in   environment.Input
		want string
	}{
		{"current directory", environment.Input{Directory: here}, here + "/holdfast.yaml"},
		{"--config", environment.Input{Directory: here, Flags: environment.Flags{Config: named}, Lookup: variables("HOLDFAST_CONFIG=/missing")}, named},
		{"HOLDFAST_CONFIG", environment.Input{Directory: here, Lookup: variables("HOLDFAST_CONFIG=" + named)}, named},
		{"none, but a repository", environment.Input{Directory: empty, Lookup: variables("HOLDFAST_REPO=/repo")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if c := load(t, test.in); c.File != test.want {
				t.Errorf("found %q, want %q", c.File, test.want)
			}
		})
	}
	_, err := environment.Load(environment.Input{Directory: empty, Lookup: variables()})
	if !errors.Is(err, environment.ErrNoConfig) || hint(err) == "" {
		t.Errorf("without a file: %v, want ErrNoConfig with a hint", err)
	}
	for _, in := range []environment.Input{
		{Flags: environment.Flags{Config: "missing.yaml", Repository: "/repo"}},
		{Flags: environment.Flags{Config: "."}},
	} {
		in.Directory, in.Lookup = empty, variables()
		if _, err := environment.Load(in); err == nil || !strings.HasPrefix(err.Error(), "--config: ") {
			t.Errorf("--config %s: %v", in.Flags.Config, err)
		}
	}
}

// A file in /tmp that somebody else put there must not decide what root reads
// and replaces.
func TestAFileAboveMustBelongToTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root to give a file away: run the tests in a container, or with sudo")
	}
	directory := site(t, minimal)
	file, inner := filepath.Join(directory, "holdfast.yaml"), filepath.Join(directory, "inner")
	if err := errors.Join(os.Mkdir(inner, 0o755), os.Chown(file, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	_, err := environment.Load(environment.Input{Directory: inner, Lookup: variables()})
	if !errors.Is(err, environment.ErrInvalid) || !strings.Contains(hint(err), "--config "+file) {
		t.Errorf("a stranger's file above was taken: %v", err)
	}
	load(t, environment.Input{Directory: inner, Lookup: variables("SUDO_UID=12345")})
	load(t, environment.Input{Directory: inner, Flags: environment.Flags{Config: file}})
	load(t, environment.Input{Directory: directory})
}

func hint(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}
