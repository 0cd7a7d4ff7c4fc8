package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/internal/environment"
	"holdfast/internal/storage"
	"holdfast/repo"
)

// initialise is the action of "init": first the configuration, then the repository.
func initialise(ctx context.Context, app *env, o InitOptions) error {
	config, err := app.configuration()
	if errors.Is(err, environment.ErrNoConfig) && app.flags.Config == "" {
		return writeExample(app)
	}
	if err != nil {
		return err
	}
	if err := isDirectory(config.Repository); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(config.Repository, "config")); err == nil {
		return fmt.Errorf("%w at %s; nothing was changed", repo.ErrExists, config.Repository)
	}
	app.warnOfRetention(config)
	credential, err := app.firstPassword(ctx, config)
	if err != nil {
		return err
	}
	if credential.Secret == "" {
		return usageError("the password is empty; expected one that cannot be guessed")
	}
	store, err := emptyStore(ctx, config.Repository)
	if err != nil {
		return err
	}
	defer store.Close()
	slot := repo.Slot{Label: labelOr(o.Label), Now: app.now()}
	r, err := repo.Init(ctx, store, repo.Secret{Password: []byte(credential.Secret)}, slot, programName(), app.repoOptions(config.Repository))
	if errors.Is(err, repo.ErrExists) {
		return fmt.Errorf("%w at %s; nothing was changed", err, config.Repository)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Replenish(ctx, 0); err != nil {
		app.console.warn("no reserve was made, so a full disk can only be collected when there is some room: %v", err)
	}
	doc := struct {
		Repository string `json:"repository"`
		ID         string `json:"id"`
	}{config.Repository, r.ID()}
	if err := app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Repository: %s\n", config.Repository)
		return err
	}); err != nil {
		return err
	}
	app.console.say("The password came from %s. Whoever loses all passwords and tokens of this repository", credential.From)
	app.console.say("has lost all that is in it: keep it where a fire does not reach, and add a second one:")
	app.console.say("    holdfast repo key add")
	return nil
}

// emptyStore returns the storage for a new repository: a new directory, or one
// in which an earlier init was killed before it was done.
func emptyStore(ctx context.Context, path string) (*storage.Local, error) {
	store, err := storage.OpenLocal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return storage.CreateLocal(path)
	}
	if err != nil {
		return nil, err
	}
	if _, err := store.Stat(ctx, "config"); err == nil {
		_ = store.Close()
		return nil, fmt.Errorf("%w at %s; nothing was changed", repo.ErrExists, path)
	}
	if err := refuseBereft(ctx, store, path); err != nil {
		_ = store.Close()
		return nil, err
	}
	for _, err := range store.List(ctx, "keys") {
		if err == nil {
			return store, nil
		}
	}
	_ = store.Close()
	return storage.CreateLocal(path) // which refuses a directory with anything else in it
}

// writeExample writes a configuration to begin with into the current directory.
func writeExample(app *env) error {
	f, err := os.OpenFile(environment.FileName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", environment.FileName, err)
	}
	_, err = io.WriteString(f, environment.Example())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", environment.FileName, err)
	}
	path, err := filepath.Abs(environment.FileName)
	if err != nil {
		return err
	}
	doc := struct {
		Config string `json:"config"`
	}{path}
	if err := app.result(doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Configuration: %s\n", path)
		return err
	}); err != nil {
		return err
	}
	app.console.say("Edit it; then \"holdfast init\" makes the repository that it names.")
	return nil
}

// labelOr is the label of a key slot: as given, or who and where.
func labelOr(label string) string {
	if label != "" {
		return label
	}
	if user := os.Getenv("USER"); user != "" {
		return user + "@" + hostname()
	}
	return hostname()
}
