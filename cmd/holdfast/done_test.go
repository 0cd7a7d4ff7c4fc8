package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/internal/storage/storagetest"
	"holdfast/repo/repotest"
)

// TestASnapshotThatIsPublishedIsNoFailure, whatever of what announced it to others cannot be
// ended: its name is told, and the rest is a warning.
func TestASnapshotThatIsPublishedIsNoFailure(t *testing.T) {
	for what, fault := range map[string]storagetest.Fault{
		"the lease could not be released": {Ops: storagetest.Put, Names: storagetest.Under("leases"), Nth: 2, Effect: storagetest.Full()},
		"end session":                     {Ops: storagetest.Delete, Names: storagetest.Under("sessions"), Effect: storagetest.Fail(fs.ErrPermission)},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, environment.FileName), []byte("project: shop\nrepository: repo\nenvironments: {master: {mounts: {uploads: uploads}}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "uploads"), 0o700); err != nil {
			t.Fatal(err)
		}
		nothing := func(string) (string, bool) { return "", false }
		config, err := environment.Load(environment.Input{Lookup: nothing, Directory: dir})
		if err != nil {
			t.Fatal(err)
		}
		store := storagetest.NewFaulty(repotest.New(t))
		r := &opened{Repository: repotest.Open(t, store), config: config}
		var said strings.Builder
		app := &env{console: &console{w: &said}, lookup: nothing, now: time.Now, zone: time.UTC}
		_, parts, err := app.parts(r, "master", false)
		if err != nil {
			t.Fatal(err)
		}
		progress := newTracker(time.Now())
		c := &snapshot.Creation{Repository: r.Repository, Project: "shop", Environment: "master", Parts: parts, Barrier: snapshot.NoBarrier{}, Now: time.Now, Progress: progress}
		rule := store.Inject(fault)
		s, err := app.take(t.Context(), r, c, progress)
		if err != nil || s == nil || !strings.Contains(said.String(), "warning: "+what) || rule.Hits() == 0 {
			t.Errorf("%s: %d faults, %v, %s", what, rule.Hits(), err, said.String())
		}
		if all, err := r.Snapshots(t.Context()); len(all) != 1 || err != nil {
			t.Errorf("%s: %d snapshots, %v", what, len(all), err)
		}
	}
}
