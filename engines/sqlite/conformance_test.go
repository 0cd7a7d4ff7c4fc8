package sqlite

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
)

func TestConformance(t *testing.T) {
	inBothModes(t, func(t *testing.T, mode string) {
		enginetest.Run(t, enginetest.Harness{
			Engine:  Engine,
			Place:   func(t *testing.T) enginetest.Place { return newPlace(t, mode) },
			Refused: refused,
		})
	})
}

func refused(t *testing.T) []enginetest.Refusal {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte("this is no database, but it is long enough to have a header in the place where one would be: 100 bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "dangling.db")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	at := func(path string) engines.Service { return serviceOf(path) }
	withURL := func(u *url.URL) engines.Service { return engines.Service{Name: "settings", URL: u} }
	secret := at(filepath.Join(dir, "x.db"))
	secret.Password = "s3cret-pass"
	return []enginetest.Refusal{
		{What: "a missing database", Service: at(filepath.Join(dir, "missing.db")), NoTarget: true, Want: []string{"missing.db", "no such database"}},
		{What: "a missing directory", Service: at(filepath.Join(dir, "no", "x.db")), Want: []string{filepath.Join(dir, "no")}},
		{What: "a directory", Service: at(dir), Want: []string{dir, "not a file"}},
		{What: "a link to nothing", Service: at(link), Want: []string{link, "symbolic link"}},
		{What: "what is no database", Service: at(text), Want: []string{text, "not an SQLite database"}},
		{What: "a password", Service: secret, Want: []string{"settings", "no passwords"}},
		{What: "a relative path", Service: withURL(&url.URL{Scheme: "sqlite", Opaque: "x.db"}), Want: []string{"settings", "sqlite:/absolute/path"}},
		{What: "a host", Service: withURL(&url.URL{Scheme: "sqlite", Host: "srv", Path: "/x.db"}), Want: []string{"settings", "sqlite:/absolute/path"}},
		{What: "no URL", Service: withURL(nil), Want: []string{"settings", "no URL"}},
	}
}
