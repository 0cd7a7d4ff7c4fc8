package repo_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/repo"
	"holdfast/repo/repotest"
)

// TestWhatASnapshotHoldsInPartIsBeyondDoubt: a record whose part makes no sense
// is damaged, whoever sealed it.
func TestWhatASnapshotHoldsInPartIsBeyondDoubt(t *testing.T) {
	r := newPlace(t).open()
	whole := repotest.Put(t, r, repotest.Files{"a": []byte("a")}, nil)
	commit := func(safetyFor repo.Name, services ...repo.Service) error {
		t.Helper()
		session, err := r.Begin(t.Context(), repo.Restore, now)
		if err != nil {
			t.Fatal(err)
		}
		s := &repo.Snapshot{Project: "p", Environment: "e", Created: start, Counter: 2, Restore: safetyFor, Services: services, Root: whole.Root}
		if err := errors.Join(session.Commit(t.Context(), s), session.End(t.Context())); err != nil {
			t.Fatal(err)
		}
		_, err = r.Snapshot(t.Context(), session.Name)
		return err
	}
	part := func(path string) repo.Service {
		return repo.Service{Name: "files", Engine: "test", Entries: []string{"a"}, Subpath: path}
	}
	if err := commit(whole.Name, part("2026/b.jpg")); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"in no safety snapshot":   commit(repo.Name{}, part("2026")),
		"beside another service":  commit(whole.Name, part("2026"), repo.Service{Name: "other"}),
		"upwards":                 commit(whole.Name, part("2026/../..")),
		"absolute":                commit(whole.Name, part("/2026")),
		"with an end of no name":  commit(whole.Name, part("2026/")),
		"with a NUL":              commit(whole.Name, part("20\x0026")),
		"with too long a name":    commit(whole.Name, part(strings.Repeat("x", 5000))),
		"of the directory itself": commit(whole.Name, part(".")),
	} {
		if _, damaged := errors.AsType[*repo.DamagedError](err); !damaged || !strings.Contains(err.Error(), "files: ") {
			t.Errorf("a part %s: %v", name, err)
		}
	}
}
