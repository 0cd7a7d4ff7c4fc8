package main

import (
	"strings"
	"testing"

	"holdfast/repo"
)

// Of a service that a damaged snapshot has lost, show says that nothing is left.
func TestShowOfALostService(t *testing.T) {
	app, stdout, _ := testEnv()
	s := repo.Listed{Snapshot: &repo.Snapshot{Project: "shop", Environment: "master", Services: []repo.Service{
		{Name: "database", Engine: "mysql", Bytes: 53 << 20, Count: 8},
		{Name: "uploads", Engine: "files", Bytes: 4, Count: 2, Entries: []string{"uploads"}},
	}}}
	if err := app.showText(stdout, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  holds       nothing any more; it held 53 MiB in 8 entries\n", "  holds       4 B in 2 entries: uploads\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing:\n%s", want, stdout)
		}
	}
}
