package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/internal/environment"
	"holdfast/internal/seal"
	"holdfast/internal/snapshot"
	"holdfast/internal/storage"
	"holdfast/repo"
)

// sitePassword opens the repositories of tests.
const sitePassword = "correct horse"

// makeRepository does what init does, with a password that is cheap to try; the
// one that init makes a key of takes a while, each time.
func makeRepository(dir string) error {
	store, err := storage.CreateLocal(dir)
	if err != nil {
		return err
	}
	slot := repo.Slot{Label: "site", Cost: seal.Cost{Memory: 64, Passes: 1, Lanes: 1}, Now: time.Now()}
	r, err := repo.Init(context.Background(), store, siteSecret(), slot, "holdfast", repo.Options{Random: rand.Reader})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	return errors.Join(r.Close(), store.Close())
}

func siteSecret() repo.Secret { return repo.Secret{Password: []byte(sitePassword)} }

// twins takes two snapshots of master whose names begin with 0ddba1: twins
func twins(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) > 0 {
		ts.Fatalf("usage: twins")
	}
	store, err := storage.OpenLocal(ts.MkAbs("repo"))
	ts.Check(err)
	defer store.Close()
	r, err := repo.Open(context.Background(), store, siteSecret(), repo.Options{Random: twinNames{rand.Reader}})
	ts.Check(err)
	defer r.Close()
	for range 2 {
		ts.Check(takeOne(r, ts.MkAbs("master/uploads"), time.Now))
	}
}

// aged takes snapshots of master that are so many hours old, the oldest first,
// and puts their names into the variables H1, H2 … named after them: aged HOURS…
func aged(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) == 0 {
		ts.Fatalf("usage: aged HOURS…")
	}
	store, err := storage.OpenLocal(ts.MkAbs("repo"))
	ts.Check(err)
	defer store.Close()
	r, err := repo.Open(context.Background(), store, siteSecret(), repo.Options{Random: rand.Reader})
	ts.Check(err)
	defer r.Close()
	for _, hours := range args {
		age, err := time.ParseDuration(hours + "h")
		ts.Check(err)
		ts.Check(takeOne(r, ts.MkAbs("master/uploads"), func() time.Time { return time.Now().Add(-age) }))
		all, err := r.Snapshots(context.Background())
		ts.Check(err)
		for _, s := range all {
			if time.Since(s.Created).Round(time.Hour) == age {
				ts.Setenv("H"+hours, s.Name.String())
			}
		}
	}
}

// twinNames yields random bytes, and where a snapshot's name is drawn three
// bytes that are always the same before them.
type twinNames struct{ io.Reader }

func (r twinNames) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if len(p) == len(repo.Name{}) {
		copy(p, []byte{0x0d, 0xdb, 0xa1})
	}
	return n, err
}

// takeOne takes a snapshot of a directory, as the mount uploads of master, at a
// time of the test's choice.
func takeOne(r *repo.Repository, directory string, now func() time.Time) error {
	ctx := context.Background()
	all, err := r.Snapshots(ctx)
	if err != nil {
		return err
	}
	parts, err := snapshot.Parts(environment.Environment{Name: "master", Mounts: []environment.Mount{{Name: "uploads", Path: directory}}},
		knownEngines, nil, false)
	if err != nil {
		return err
	}
	session, err := r.Begin(ctx, repo.Create, now)
	if err != nil {
		return err
	}
	c := snapshot.Creation{Repository: r, Project: "shop", Environment: "master", Parts: parts, Barrier: snapshot.NoBarrier{},
		Program: "test", Host: "here", Now: now, Progress: newTracker(now()), Lineage: all}
	_, err = c.Create(ctx, session)
	return errors.Join(err, session.End(ctx))
}

// executeSQL executes statements on a SQLite database.
func executeSQL(file string, statements ...string) error {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file}).String())
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	return db.Close()
}
