package environment_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/environment"
)

func TestCredentials(t *testing.T) {
	directory := site(t, minimal)
	configured := site(t, "password_file: secrets/${WHICH}\n"+minimal)
	if err := os.Mkdir(filepath.Join(configured, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, configured+"/secrets/one", "configured\n", 0o600)
	file := filepath.Join(directory, "password")
	write(t, file, " with spaces \r\n", 0o600)
	write(t, directory+"/token", "hft1_file\n", 0o600)
	write(t, directory+"/two-lines", "a\nb\n\n", 0o600)
	answer := func(string) (string, error) { return "typed", nil }

	for _, test := range []struct {
		name      string
		directory string
		flag      string
		variables []string
		ask       environment.Ask
		want      environment.Credential
	}{
		{"flag before all", configured, file, []string{"HOLDFAST_TOKEN=t", "WHICH=one"}, answer,
			environment.Credential{Secret: " with spaces ", From: "the file " + file}},
		{"token", directory, "", []string{"HOLDFAST_TOKEN=hft1_x"}, answer,
			environment.Credential{Secret: "hft1_x", IsToken: true, From: "HOLDFAST_TOKEN"}},
		{"token file", directory, "", []string{"HOLDFAST_TOKEN_FILE=token"}, answer,
			environment.Credential{Secret: "hft1_file", IsToken: true, From: "the file " + directory + "/token"}},
		{"password", directory, "", []string{"HOLDFAST_PASSWORD=x\n"}, answer,
			environment.Credential{Secret: "x\n", From: "HOLDFAST_PASSWORD"}},
		{"password file", directory, "", []string{"HOLDFAST_PASSWORD_FILE=two-lines"}, answer,
			environment.Credential{Secret: "a\nb\n", From: "the file " + directory + "/two-lines"}},
		{"empty variables count as none", configured, "", []string{"HOLDFAST_TOKEN=", "HOLDFAST_PASSWORD=", "WHICH=one"}, answer,
			environment.Credential{Secret: "configured", From: "the file " + configured + "/secrets/one"}},
		{"asked", directory, "", nil, answer,
			environment.Credential{Secret: "typed", From: "the terminal"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, environment.Input{Directory: test.directory, Lookup: variables(test.variables...), Flags: environment.Flags{PasswordFile: test.flag}})
			got, err := c.Credential(test.ask)
			if err != nil || got != test.want {
				t.Errorf("%#v (%q), %v", got, string(got.Secret), err)
			}
		})
	}
}

func TestNoCredential(t *testing.T) {
	directory := site(t, minimal)
	write(t, directory+"/empty", "\n", 0o600)
	write(t, directory+"/large", strings.Repeat("x", 65<<10), 0o600)
	interrupted := errors.New("interrupted")
	for _, test := range []struct {
		variables []string
		ask       environment.Ask
		want      error
		text      string
	}{
		{nil, nil, environment.ErrNoPassword, "no password for the repository " + directory + "/repo"},
		{nil, func(string) (string, error) { return "", nil }, environment.ErrNoPassword, "the password was empty"},
		{nil, func(string) (string, error) { return "", interrupted }, interrupted, "interrupted"},
		{[]string{"HOLDFAST_PASSWORD=s3cret", "HOLDFAST_TOKEN=s3cret"}, nil, environment.ErrInvalid, "HOLDFAST_TOKEN and HOLDFAST_PASSWORD are both set; expected one of them"},
		{[]string{"HOLDFAST_PASSWORD_FILE=missing"}, nil, environment.ErrNoPassword, "read the password file " + directory + "/missing: no such file or directory"},
		{[]string{"HOLDFAST_TOKEN_FILE=missing"}, nil, environment.ErrNoPassword, "read the token file " + directory + "/missing: no such file or directory"},
		{[]string{"HOLDFAST_PASSWORD_FILE=empty"}, nil, environment.ErrNoPassword, "read the password file " + directory + "/empty: it is empty"},
		{[]string{"HOLDFAST_PASSWORD_FILE=large"}, nil, environment.ErrNoPassword, "read the password file " + directory + "/large: more than 64 KiB"},
		{[]string{"HOLDFAST_PASSWORD_FILE=."}, nil, environment.ErrNoPassword, "read the password file " + directory + ": is a directory"},
	} {
		c := load(t, environment.Input{Directory: directory, Lookup: variables(test.variables...)})
		if _, err := c.Credential(test.ask); !errors.Is(err, test.want) || err.Error() != test.text {
			t.Errorf("%q: %v, want %s", test.variables, err, test.text)
		}
	}
	c := load(t, environment.Input{Directory: site(t, "password_file: ${UNSET}\n"+minimal)})
	if _, err := c.Credential(nil); err == nil || err.Error() != "holdfast.yaml:1: password_file: the variable UNSET is not set" {
		t.Errorf("password_file with a variable that is not set: %v", err)
	}
}

// init makes a password's slot; a token that happens to be set is not it.
func TestPasswordIgnoresTokens(t *testing.T) {
	c := load(t, environment.Input{Directory: site(t, minimal), Lookup: variables("HOLDFAST_TOKEN=hft1_x")})
	got, err := c.Password(func(string) (string, error) { return "typed", nil })
	if err != nil || got.IsToken || got.Secret != "typed" {
		t.Errorf("%#v, %v", got, err)
	}
}

func TestAPublicPasswordFileIsWarnedOf(t *testing.T) {
	directory := site(t, minimal)
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o604: true, 0o644: true} {
		write(t, directory+"/password", "s3cret", mode)
		c := load(t, environment.Input{Directory: directory, Flags: environment.Flags{PasswordFile: "password"}})
		got, err := c.Credential(nil)
		if err != nil || (got.Warning != "") != warned {
			t.Errorf("mode %o: warning %q, %v", mode, got.Warning, err)
		}
	}
}
