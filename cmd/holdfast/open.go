package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/engines"
	"holdfast/engines/files"
	"holdfast/engines/mysql"
	"holdfast/engines/postgres"
	"holdfast/engines/redis"
	"holdfast/engines/solr"
	"holdfast/engines/sqlite"
	"holdfast/internal/environment"
	"holdfast/internal/seal"
	"holdfast/internal/snapshot"
	"holdfast/internal/storage"
	"holdfast/repo"
)

// knownEngines is the literal list of all engines.
var knownEngines = []engines.Engine{mysql.Engine, postgres.Engine, redis.Engine, solr.Engine, sqlite.Engine, files.Engine}

// serviceSchemes are the URL schemes that a service may have; a mount is no URL.
func serviceSchemes() []string {
	var schemes []string
	for _, e := range knownEngines {
		if e.Name != files.Engine.Name {
			schemes = append(schemes, e.Schemes...)
		}
	}
	return schemes
}

// opened is an open repository with the configuration that named it.
type opened struct {
	*repo.Repository
	config *environment.Config
	store  *storage.Local
	secret repo.Secret
}

func (o *opened) Close() {
	_ = o.Repository.Close() // only read from by now
	_ = o.store.Close()
}

// open opens the configuration's repository.
func (app *env) open(ctx context.Context) (*opened, error) {
	return app.openAs(ctx, func(store *storage.Local) (storage.Storage, error) { return store, nil })
}

// openAs is open for who sees the repository otherwise than it is stored.
func (app *env) openAs(ctx context.Context, as func(*storage.Local) (storage.Storage, error)) (*opened, error) {
	config, err := app.configuration()
	if err != nil {
		return nil, err
	}
	if err := isDirectory(config.Repository); err != nil {
		return nil, err
	}
	store, err := storage.OpenLocal(config.Repository)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noRepository(config.Repository)
	}
	if err != nil {
		return nil, err
	}
	o := &opened{config: config, store: store}
	seen, err := as(store)
	if err == nil {
		o.Repository, o.secret, err = app.unlock(ctx, config, seen)
	}
	if err != nil {
		_ = store.Close()
		return nil, err
	}
	return o, nil
}

func (app *env) unlock(ctx context.Context, config *environment.Config, store storage.Storage) (*repo.Repository, repo.Secret, error) {
	if _, err := store.Stat(ctx, "config"); errors.Is(err, storage.ErrObstacle) {
		return nil, repo.Secret{}, err
	} else if errors.Is(err, fs.ErrNotExist) {
		if err := refuseBereft(ctx, store, config.Repository); err != nil {
			return nil, repo.Secret{}, err
		}
		return nil, repo.Secret{}, noRepository(config.Repository) // before anybody is asked for a password
	}
	credential, err := app.credential(ctx, config)
	if err != nil {
		return nil, repo.Secret{}, err
	}
	secret, err := secretOf(credential)
	if err != nil {
		return nil, secret, err
	}
	r, err := repo.Open(ctx, store, secret, app.repoOptions(config.Repository))
	switch {
	case errors.Is(err, seal.ErrVersion):
		return nil, secret, &withHint{err, "the repository " + config.Repository + " was written by a newer holdfast: use that one"}
	case errors.Is(err, repo.ErrNoRepository):
		return nil, secret, noRepository(config.Repository)
	case err != nil:
		return nil, secret, lockedOut(ctx, store, err, fmt.Sprintf("it came from %s; the repository is %s", credential.From, config.Repository))
	}
	return r, secret, nil
}

func noRepository(path string) error {
	return &withHint{fmt.Errorf("%w at %s", repo.ErrNoRepository, path), "is its disk mounted? --repo names another place, and \"holdfast init\" makes a new repository, which is empty"}
}

// refuseBereft returns an error if there is data of a repository that has no config
// any more. Nobody must take that for an empty place. (A killed init leaves a key
// slot and no data.)
func refuseBereft(ctx context.Context, store storage.Storage, path string) error {
	for _, folder := range []string{"packs", "index", "snapshots", "parity"} {
		for _, err := range store.List(ctx, folder) {
			if err != nil {
				return err
			}
			return &withHint{fmt.Errorf("%w at %s: its config is missing, its data is there", repo.ErrNoRepository, path),
				"\"holdfast repo repair\" mends it from parity; else put config back from a copy: no other one fits"}
		}
	}
	return nil
}

// isDirectory refuses what is a URL: repositories are directories so far.
func isDirectory(repository string) error {
	if strings.Contains(repository, "://") {
		return usageError("the repository %s is a URL; expected a directory", repository)
	}
	return nil
}

func (app *env) repoOptions(repository string) repo.Options {
	if real, err := filepath.EvalSymlinks(repository); err == nil {
		repository = real
	}
	return repo.Options{CacheDir: app.cacheDir(), Place: repository, Random: rand.Reader}
}

// cacheDir is where copies of indexes are kept; "" where the user has no place
// for such things.
func (app *env) cacheDir() string {
	if dir, ok := app.lookup("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "holdfast")
	}
	if home, ok := app.lookup("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "holdfast")
	}
	return ""
}

func secretOf(c environment.Credential) (repo.Secret, error) {
	if !c.IsToken {
		return repo.Secret{Password: []byte(c.Secret)}, nil
	}
	token, err := seal.ParseToken(string(c.Secret))
	if err != nil {
		return repo.Secret{}, fmt.Errorf("%s: %w", c.From, err)
	}
	return repo.Secret{Token: &token}, nil
}

// scope returns the project and environment that a command is about. Without a
// configuration it is the only environment that the repository's snapshots have.
func (o *opened) scope(all []repo.Listed) (project, name string, err error) {
	name, err = o.config.Acting()
	if o.config.File != "" || err == nil && o.config.Project != "" || err != nil && !errors.Is(err, environment.ErrNoEnvironment) {
		return o.config.Project, name, err
	}
	type line struct{ project, environment string }
	var lines []line
	seen := map[line]bool{}
	for _, s := range all {
		l := line{s.Project, s.Environment}
		if (o.config.Project == "" || o.config.Project == s.Project) && (name == "" || name == s.Environment) && !seen[l] {
			seen[l] = true
			lines = append(lines, l)
		}
	}
	switch len(lines) {
	case 0:
		return o.config.Project, name, &withHint{repo.ErrNoSnapshot, "\"holdfast snapshot list --all\" shows what the repository holds"}
	case 1:
		return lines[0].project, lines[0].environment, nil
	}
	var names []string
	for _, l := range lines {
		names = append(names, fmt.Sprintf("-p %s -e %s", l.project, l.environment))
	}
	return "", "", &withHint{usageError("the repository holds several environments; name one of %s", strings.Join(names, ", ")),
		"\"holdfast snapshot list --all\" shows the snapshots of all of them"}
}

// snapshots reads all snapshots and warns of what is damaged or has vanished, and of
// restores that were interrupted.
func (app *env) snapshots(ctx context.Context, o *opened) ([]repo.Listed, []error, error) {
	app.warnOfInterrupted(ctx, o)
	all, unread, vanished, err := readable(ctx, o)
	if unread != nil {
		app.console.warn("some snapshots cannot be read: %v", unread)
	}
	return all, vanished, err
}

// readable returns the snapshots that can be read, with why others cannot, or else
// those that have vanished: with some unreadable that cannot be told. The error says that
// they could not be looked for, which is not to be taken for there being none.
func readable(ctx context.Context, o *opened) (all []repo.Listed, unread error, vanished []error, err error) {
	all, unread = o.Snapshots(ctx)
	_, damaged := errors.AsType[*repo.DamagedError](unread)
	switch {
	case unread == nil:
		vanished, err = o.Vanished(ctx, all)
	case ctx.Err() != nil:
		return nil, nil, nil, context.Cause(ctx)
	case len(all) == 0 && !damaged:
		return nil, nil, nil, unread
	}
	return all, unread, vanished, err
}

// resolve finds the snapshot that somebody means.
func (app *env) resolve(ctx context.Context, o *opened, name string) (repo.Listed, error) {
	found, err := app.resolveAll(ctx, o, name)
	if err != nil {
		return repo.Listed{}, err
	}
	return found[0], nil
}

// resolveAll is resolve for several.
func (app *env) resolveAll(ctx context.Context, o *opened, names ...string) (found []repo.Listed, err error) {
	app.warnOfInterrupted(ctx, o)
	all, unread, vanished, err := readable(ctx, o)
	if err != nil {
		return nil, err
	}
	doubts := vanished
	if unread != nil {
		doubts = []error{fmt.Errorf("some snapshots cannot be read: %w", unread)}
	}
	if len(doubts) > 0 && slices.ContainsFunc(names, isLatest) {
		return nil, &withHint{errors.Join(doubts...), "so \"latest\" may not be what it was: name the snapshot you mean"}
	}
	for _, doubt := range doubts {
		app.console.warn("%v", doubt)
	}
	for _, name := range names {
		s, err := app.among(ctx, o, all, name)
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}

func isLatest(name string) bool { return name == "" || name == "latest" }

// among finds the snapshot that somebody means among all.
func (app *env) among(ctx context.Context, o *opened, all []repo.Listed, name string) (repo.Listed, error) {
	project, environmentName := "", ""
	if isLatest(name) {
		var err error
		if project, environmentName, err = o.scope(all); err != nil {
			return repo.Listed{}, err
		}
	}
	found, err := snapshot.Resolve(all, project, environmentName, name)
	if n, bad := repo.ParseName(name); bad == nil && errors.Is(err, repo.ErrNoSnapshot) {
		if _, unread := o.Snapshot(ctx, n); unread != nil {
			err = unread // why it is not among those that can be read
		}
	}
	if deleted, ok := errors.AsType[*snapshot.DeletedError](err); ok {
		s := deleted.Snapshot
		err = &withHint{fmt.Errorf("%w at %s", err, app.localTime(s.Deleted)), fmt.Sprintf("\"holdfast snapshot undelete %s\" brings it back, until a \"holdfast repo gc\" purges it (by default one a day later); its whole name serves until then", s.Name)}
	}
	return found, err
}

// place is where the environment's restore journal and lock are.
func (o *opened) place(name string) snapshot.Place {
	return snapshot.PlaceOf(filepath.Dir(o.config.File), o.config.Project, name)
}

// parts binds an environment's services and mounts to their engines.
func (app *env) parts(o *opened, name string, live bool) (environment.Environment, []snapshot.Part, error) {
	if o.config.File == "" {
		return environment.Environment{}, nil, noEnvironments()
	}
	e, err := o.config.Select(name)
	if err != nil {
		return e, nil, err
	}
	avoid := append(o.config.SQLiteFiles(), o.config.Repository, filepath.Join(filepath.Dir(o.config.File), ".holdfast"))
	if cache := app.cacheDir(); cache != "" {
		avoid = append(avoid, cache)
	}
	parts, err := snapshot.Parts(e, knownEngines, avoid, live)
	return e, parts, err
}

func noEnvironments() error {
	return usageError("there is no %s, and with --repo alone no environment is known; expected --config FILE (and \"snapshot restore\" takes --to DIR)", environment.FileName)
}

func hostname() string {
	name, _ := os.Hostname() // only told to people
	return name
}
