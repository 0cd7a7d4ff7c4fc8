package environment_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"holdfast/internal/environment"
)

func TestActing(t *testing.T) {
	one := site(t, minimal)
	two := site(t, `{project: p, repository: /r, environments: {master: {}, staging: {}}}`)
	none := site(t, `{project: p, repository: /r}`)
	for _, test := range []struct {
		directory, flag string
		want, problem   string
	}{
		{one, "", "master", ""},
		{one, "master", "master", ""},
		{one, "mastr", "", `holdfast.yaml has no environment "mastr" (did you mean "master"?)`},
		{two, "staging", "staging", ""},
		{two, "", "", "holdfast.yaml has the environments master, staging; which one?"},
		{two, "No", "", `--environment: "No" cannot be a name; expected a-z, then a-z, 0-9, _ or -, at most 63 in all`},
		{none, "", "", "holdfast.yaml defines no environment"},
		{none, "master", "master", ""}, // its snapshots can still be listed
		{t.TempDir(), "", "", "there is no holdfast.yaml that says which environments there are"},
		{t.TempDir(), "master", "master", ""},
	} {
		c := load(t, environment.Input{Directory: test.directory, Flags: environment.Flags{Environment: test.flag}, Lookup: variables("HOLDFAST_REPO=/r")})
		got, err := c.Acting()
		if got != test.want || fmt.Sprint(err) != test.problem && test.problem != "" || test.problem == "" && err != nil {
			t.Errorf("-e %q: %q, %v; want %q, %s", test.flag, got, err, test.want, test.problem)
		}
		if err != nil && !errors.Is(err, environment.ErrNoEnvironment) && !errors.Is(err, environment.ErrInvalid) {
			t.Errorf("-e %q: %v has no kind", test.flag, err)
		}
		if _, selectErr := c.Select(""); err != nil && fmt.Sprint(selectErr) != err.Error() {
			t.Errorf("-e %q: Select says %v, Acting %v", test.flag, selectErr, err)
		}
	}
	c := load(t, environment.Input{Directory: none})
	if _, err := c.Select("master"); !errors.Is(err, environment.ErrNoEnvironment) {
		t.Errorf("Select of an environment that is not defined: %v", err)
	}
}

// The same file serves two machines, of which each has its own secrets only.
func TestMissingSecretsOnlyMatterWhereTheyAreUsed(t *testing.T) {
	directory := site(t, `project: shop
repository: /repo
environments:
  master:
    services:
      database: mysql://shop:${MASTER_PASSWORD}@db/shop
  staging:
    services:
      database: mysql://shop:${STAGING_PASSWORD}@db/staging
      settings: {url: "mysql://db/x", password_file: staging.password}
    mounts:
      uploads: ${STAGING_ROOT}/uploads
`)
	c := load(t, environment.Input{Directory: directory, Lookup: variables("MASTER_PASSWORD=")})
	if e := selected(t, c, "master"); e.Services[0].Password != "" {
		t.Errorf("an empty variable gave %q", string(e.Services[0].Password))
	}
	_, err := c.Select("staging")
	want := `holdfast.yaml:9: environments.staging.services.database: the variable STAGING_PASSWORD is not set
holdfast.yaml:10: environments.staging.services.settings.password_file: read the password file ` + directory + `/staging.password: no such file or directory
holdfast.yaml:12: environments.staging.mounts.uploads: the variable STAGING_ROOT is not set`
	if fmt.Sprint(err) != want {
		t.Errorf("staging: %v\nwant %s", err, want)
	}
	write(t, filepath.Join(directory, "staging.password"), "s3cret\n", 0o600)
	c = load(t, environment.Input{Directory: directory, Lookup: variables("STAGING_PASSWORD=x", "STAGING_ROOT=/srv")})
	if e := selected(t, c, "staging"); e.Services[1].Password != "s3cret" || e.Mounts[0].Path != "/srv/uploads" {
		t.Errorf("staging is %+v", e)
	}
}
