package environment_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/internal/environment"
	"holdfast/internal/retention"
)

// variables is a Lookup over "NAME=value" pairs.
func variables(pairs ...string) environment.Lookup {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if n, value, _ := strings.Cut(p, "="); n == name {
				return value, true
			}
		}
		return "", false
	}
}

// site is a directory with a holdfast.yaml in it.
func site(t *testing.T, yaml string) string {
	t.Helper()
	directory := t.TempDir()
	write(t, filepath.Join(directory, environment.FileName), yaml, 0o600)
	return directory
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func load(t *testing.T, in environment.Input) *environment.Config {
	t.Helper()
	if in.Lookup == nil {
		in.Lookup = variables()
	}
	c, err := environment.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func selected(t *testing.T, c *environment.Config, name string) environment.Environment {
	t.Helper()
	e, err := c.Select(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExampleLoads(t *testing.T) {
	c := load(t, environment.Input{
		Directory: site(t, environment.Example()),
		Lookup:    variables("DB_PASSWORD=p@ss/word"),
		Schemes:   []string{"mysql", "sqlite"},
	})
	e := selected(t, c, "")
	want := environment.Definition{
		Services: []environment.ServiceDefinition{
			{Name: "database", URL: "mysql://shop@127.0.0.1:3306/shop"},
			{Name: "settings", URL: "sqlite:/srv/master/settings.db"},
		},
		Mounts:  []environment.Mount{{Name: "uploads", Path: "/srv/master/uploads"}},
		Exclude: []string{"uploads/cache/**"},
	}
	if got := e.Definition(); !reflect.DeepEqual(got, want) {
		t.Errorf("definition\n%+v, want\n%+v", got, want)
	}
	if c.Project != "shop" || c.Repository != "/var/lib/holdfast/shop" || e.Services[0].Password != "p@ss/word" {
		t.Errorf("loaded %+v", c)
	}
}

// What is commented out in the example must be right, too.
func TestExampleLoadsWithItsCommentedLines(t *testing.T) {
	text := environment.Example()
	for _, line := range []string{"#password_file: /etc", "#archive:", "#  url:", "#  password_file", "#  schema_only", "#  accounts", "#timezone", "#retention:", "#  min:", "#  max:", "#  tiers:", "#    - {until", "#staging:", "#  parent:", "#  services:", "#    database: mysql", "#    settings", "#  mounts:", "#    uploads"} {
		before := text
		text = strings.ReplaceAll(text, line, line[1:])
		if text == before {
			t.Errorf("the example has no line %q", line)
		}
	}
	c := load(t, environment.Input{Directory: site(t, text), Lookup: variables("DB_PASSWORD=x", "STAGING_DB_PASSWORD=y")})
	if got, _, err := c.Retention("staging"); err != nil || !reflect.DeepEqual(got, retention.Default()) {
		t.Errorf("the example's retention is %+v, which is not the default", got)
	}
	e := selected(t, c, "staging")
	if e.Parent != "master" || len(e.Services) != 2 || len(e.Mounts) != 1 {
		t.Errorf("staging is %+v", e)
	}
	if got := c.Overlaps("staging"); len(got) > 0 {
		t.Errorf("staging overlaps: %v", got)
	}
}

const minimal = `
project: shop
repository: repo
environments:
  master:
    mounts: {uploads: up}
`

func TestPathsCountFromTheirFile(t *testing.T) {
	directory := site(t, `
project: shop
repository: ../repo
environments:
  master:
    services: {settings: sqlite:data/settings.db, other: "sqlite:///srv/./o%20t$$.db"}
    mounts: {uploads: ./uploads/}
`)
	inner := filepath.Join(directory, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	c := load(t, environment.Input{Directory: inner})
	e := selected(t, c, "master")
	for _, p := range []struct{ got, want string }{
		{c.File, filepath.Join(directory, "holdfast.yaml")},
		{c.Repository, filepath.Join(filepath.Dir(directory), "repo")},
		{e.Services[0].URL.String(), "sqlite:" + directory + "/data/settings.db"},
		{e.Services[1].URL.Path, "/srv/o t$.db"},
		{e.Mounts[0].Path, directory + "/uploads"},
	} {
		if p.got != p.want {
			t.Errorf("%s, want %s", p.got, p.want)
		}
	}
	c = load(t, environment.Input{Directory: inner, Flags: environment.Flags{Repository: "elsewhere"}})
	if want := inner + "/elsewhere"; c.Repository != want {
		t.Errorf("--repo elsewhere is %s, want %s", c.Repository, want)
	}
}

func TestFlagsWinOverVariablesAndVariablesOverTheFile(t *testing.T) {
	directory := site(t, `{project: file, repository: /file, environments: {one: {}, two: {}, three: {}}}`)
	lookup := variables("HOLDFAST_PROJECT=variable", "HOLDFAST_REPO=/variable", "HOLDFAST_ENVIRONMENT=two")
	flags := environment.Flags{Project: "flag", Repository: "/flag", Environment: "three"}
	for _, test := range []struct {
		name                          string
		in                            environment.Input
		project, repository, environm string
	}{
		{"file", environment.Input{Directory: directory, Lookup: variables("HOLDFAST_ENVIRONMENT=one", "HOLDFAST_PROJECT=")}, "file", "/file", "one"},
		{"variables", environment.Input{Directory: directory, Lookup: lookup}, "variable", "/variable", "two"},
		{"flags", environment.Input{Directory: directory, Lookup: lookup, Flags: flags}, "flag", "/flag", "three"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.in)
			acting, err := c.Acting()
			if err != nil || c.Project != test.project || c.Repository != test.repository || acting != test.environm {
				t.Errorf("%s, %s, %s, %v", c.Project, c.Repository, acting, err)
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := load(t, environment.Input{
		Directory: site(t, `{project: p, repository: /r, environments: {e: {services: {a: "mysql://u:s3cret@h/x", b: {url: redis://h, password: s3cret}}}}}`),
	})
	e := selected(t, c, "e")
	if e.Services[0].Password != "s3cret" || e.Services[1].Password != "s3cret" {
		t.Fatalf("passwords %q", []string{string(e.Services[0].Password), string(e.Services[1].Password)})
	}
	data, err := json.Marshal(e.Services)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(e), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e.Services), string(data), fmt.Sprintf("%+v", e.Definition())} {
		if strings.Contains(text, "s3cret") {
			t.Errorf("shows the password: %s", text)
		}
	}
}

func TestAPublicFileWithAPasswordIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		service string
		mode    os.FileMode
		warned  bool
	}{
		{"mysql://u:secret@h/x", 0o644, true},
		{"{url: mysql://u@h/x, password: secret}", 0o644, true},
		{"mysql://u:secret@h/x", 0o640, false},
		{"mysql://u:${SECRET}@h/x", 0o644, false},
		{"mysql://u@h/x", 0o644, false},
	} {
		directory := t.TempDir()
		write(t, filepath.Join(directory, "holdfast.yaml"), "project: p\nrepository: /r\nenvironments:\n  e:\n    services:\n      db: "+test.service+"\n", test.mode)
		c := load(t, environment.Input{Directory: directory, Lookup: variables("SECRET=x")})
		if (len(c.Warnings) > 0) != test.warned {
			t.Errorf("%s, mode %o: warnings %q", test.service, test.mode, c.Warnings)
		}
	}
}

func TestGate(t *testing.T) {
	c := load(t, environment.Input{Directory: site(t, `
project: p
repository: /r
environments:
  none: {}
  short: {gate: "unix:${RUN}/gate.sock"}
  long:
    gate: {control: "unix:/run/gate.sock", drain: 800ms, max_hold: 20s, on_timeout: live}
`), Lookup: variables("RUN=/run/x")})
	for name, want := range map[string]environment.Gate{
		"none":  {},
		"short": {Control: "/run/x/gate.sock", OnTimeout: "fail"},
		"long":  {Control: "/run/gate.sock", Drain: 800 * time.Millisecond, MaxHold: 20 * time.Second, OnTimeout: "live"},
	} {
		if got := selected(t, c, name).Gate; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestRetentionOfAnEnvironmentStandsOverTheFiles(t *testing.T) {
	c := load(t, environment.Input{Directory: site(t, `
project: p
repository: /r
retention:
  last: 3
  min: 2d
environments:
  plain: {}
  own:
    timezone: America/New_York
    retention:
      min: none
      max: none
      tiers:
        - {until: 1w, every: all}
        - {until: "3 months", every: 1d}
        - {until: forever, every: 1mo}
  at-once:
    retention: {min: 0}
`), Lookup: variables()})

	policy := retention.Default()
	policy.Last, policy.Min = 3, retention.Days(2)
	for _, name := range []string{"plain", "not-in-the-file"} {
		if got, _, err := c.Retention(name); err != nil || !reflect.DeepEqual(got, policy) {
			t.Errorf("of %s: %+v, want %+v", name, got, policy)
		}
	}
	want := retention.Policy{Last: 3, Max: retention.Forever, Tiers: []retention.Tier{
		{Until: retention.Weeks(1)},
		{Until: retention.Months(3), Every: retention.Days(1)},
		{Until: retention.Forever, Every: retention.Months(1)},
	}}
	got, zone, err := c.Retention("own")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || zone.String() != "America/New_York" {
		t.Errorf("%+v in %v, want %+v", got, zone, want)
	}
	policy.Min = retention.Span{}
	if got, _, err := c.Retention("at-once"); err != nil || !reflect.DeepEqual(got, policy) {
		t.Errorf("of at-once: %+v, %v, want %+v", got, err, policy)
	}
}
