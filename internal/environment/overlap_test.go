package environment_test

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"holdfast/internal/environment"
)

func TestSQLiteFiles(t *testing.T) {
	directory := site(t, `
project: p
repository: /r
environments:
  a: {services: {settings: "sqlite:link/s.db", db: "mysql://h/x"}}
  b: {services: {other: "sqlite:/none/o.db"}}
`)
	if err := errors.Join(os.Mkdir(directory+"/real", 0o755), os.Symlink("real", directory+"/link")); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, path := range []string{directory + "/link/s.db", directory + "/real/s.db", "/none/o.db"} {
		want = append(want, path, path+"-wal", path+"-shm", path+"-journal")
	}
	c := load(t, environment.Input{Directory: directory})
	if got := c.SQLiteFiles(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestOverlapsBetweenEnvironments(t *testing.T) {
	c := load(t, environment.Input{Directory: site(t, `
project: p
repository: /r
environments:
  master:
    services: {db: "mysql://shop:a@127.0.0.1:3306/shop", settings: "sqlite:/srv/s.db", cache: "redis://127.0.0.1/1"}
    mounts: {uploads: /srv/uploads}
  copied:
    services: {db: "mysql://other:b@127.0.0.1/shop/", conf: "sqlite:/srv/./s.db", cache: "redis://127.0.0.1:6379"}
    mounts: {images: /srv/uploads/images}
  apart:
    services: {db: "mysql://shop:a@127.0.0.1:3306/apart", settings: "sqlite:/srv/uploads/apart.db", queue: "redis://127.0.0.2/2"}
    mounts: {uploads: /srv/uploads2}
`)})
	var got []string
	for _, o := range c.Overlaps("copied") {
		got = append(got, o.String())
	}
	want := []string{
		"db is also db of the environment master (mysql://other@127.0.0.1/shop/)",
		"conf is also settings of the environment master (/srv/s.db)",
		"cache is also cache of the environment master (redis://127.0.0.1:6379)",
		"images is also uploads of the environment master (/srv/uploads/images)",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := c.Overlaps("apart"); len(got) > 0 {
		t.Errorf("apart overlaps: %v", got)
	}
}
