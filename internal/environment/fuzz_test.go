package environment_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"holdfast/internal/environment"
)

var name = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// accept loads data and checks what Load promises about any file.
func accept(t *testing.T, directory string, data []byte) {
	if err := os.WriteFile(filepath.Join(directory, environment.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := environment.Load(environment.Input{Directory: directory, Lookup: variables("DB_PASSWORD=s3cr/@t%", "SECRET=s3cr/@t%")})
	if err != nil {
		if !errors.Is(err, environment.ErrInvalid) || strings.Contains(err.Error(), "s3cr/@t%") {
			t.Fatalf("%v", err)
		}
		return
	}
	if !name.MatchString(c.Project) || c.Repository == "" {
		t.Fatalf("accepted project %q, repository %q", c.Project, c.Repository)
	}
	for _, n := range c.Names() {
		e, err := c.Select(n)
		if err != nil {
			continue
		}
		for _, m := range e.Mounts {
			if !name.MatchString(m.Name) || !filepath.IsAbs(m.Path) || m.Path == "/" {
				t.Fatalf("accepted the mount %+v", m)
			}
		}
		for _, s := range e.Services {
			if _, set := s.URL.User.Password(); set || !name.MatchString(s.Name) {
				t.Fatalf("accepted the service %+v", s)
			}
		}
	}
	c.Overlaps("master")
	c.SQLiteFiles()
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(environment.Example()))
	data, err := os.ReadFile("testdata/mistakes.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range txtar.Parse(data).Files {
		f.Add(file.Data)
	}
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) { accept(t, directory, data) })
}

func TestEveryPrefixOfAFileLoadsOrFails(t *testing.T) {
	directory, text := t.TempDir(), full
	for n := range len(text) {
		accept(t, directory, []byte(text[:n]))
	}
}

func TestEveryFlippedByteLoadsOrFails(t *testing.T) {
	directory, text := t.TempDir(), full
	for n := range len(text) {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			data := []byte(text)
			data[n] ^= bit
			accept(t, directory, data)
		}
	}
}

const full = `project: shop
repository: /repo
retention: {daily: [1, &x two]}
environments:
  master:
    services:
      a: mysql://u:${SECRET}@h:3306/x?socket=%2Fs
      b: {url: "sqlite:rel/b.db"}
    mounts: {up: /srv/up}
    exclude: [up/cache/**, *x]
    timezone: UTC
    parent: none
`
