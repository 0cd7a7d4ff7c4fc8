package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"time"

	"holdfast/internal/seal"
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
