package solr

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Stage implements engines.Target.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (engines.Staged, error) {
	s, err := storedIn(ctx, t.service, entries, content)
	if err != nil {
		return engines.Staged{}, err
	}
	config, err := configOf(ctx, s, content)
	if err != nil {
		return engines.Staged{}, err
	}
	now, err := t.look(ctx)
	if err != nil {
		return engines.Staged{}, err
	}
	if now.swapped {
		return engines.Staged{}, fmt.Errorf("%s, core %s: restore %s has already swapped", t.at(), t.core, t.token)
	}
	if err := t.Discard(ctx); err != nil { // of an earlier attempt
		return engines.Staged{}, err
	}
	if err := t.build(ctx, now, s, config, content); err != nil {
		return engines.Staged{}, err
	}
	return engines.Staged{}, t.verify(ctx, s, config, content)
}

// build creates the second core and lets it fetch.
func (t *target) build(ctx context.Context, now state, s stored, config map[string]storedConfig, content engines.Content) error {
	l := newLeader(ctx, s, content)
	directory, set := t.staging+created, t.configSet
	same := false
	if now.current.Name != "" {
		directory = t.staging
		at, err := t.configDirectory(ctx, t.core)
		if err != nil {
			return err
		}
		if same, err = t.hasConfig(ctx, t.core, config, content); err != nil {
			return err
		}
		set = path.Dir(at)
		if !same {
			set = rootSet(at)
		}
	} else if err := t.creatable(); err != nil {
		return err
	}
	if err := t.create(ctx, directory, set); err != nil {
		return err
	}
	if now.current.Name == "" {
		var err error
		if same, err = t.hasConfig(ctx, t.staging, config, content); err != nil {
			return err
		}
	}
	if same {
		return t.fetch(ctx, l)
	}
	if err := checksums(ctx, config, content); err != nil {
		return err
	}
	l.config, l.into = config, t.setName()+"/conf/"
	if err := t.fetch(ctx, l); err != nil {
		return err
	}
	at, err := t.configDirectory(ctx, t.staging)
	if err != nil {
		return err
	}
	return t.recreate(ctx, directory, at+"/"+t.setName())
}

// setName is the directory, within a config set, of the config set that this
// restore brings.
func (t *target) setName() string { return ours + t.token }

// rootSet returns the config set that a config directory belongs to: where an
// earlier restore has put it within another, that other.
func rootSet(config string) string {
	root, _, _ := strings.Cut(config, "/conf/"+ours)
	return strings.TrimSuffix(root, "/conf")
}

// create makes the second core.
func (t *target) create(ctx context.Context, directory, set string) error {
	return t.admin(ctx, "create a second core", "action", "CREATE", "name", t.staging, "instanceDir", directory, "configSet", set)
}

// recreate gives the second core another config set.
func (t *target) recreate(ctx context.Context, directory, set string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // in between there is no core by which the rest is found again
	if err := t.admin(ctx, "unload the second core", "action", "UNLOAD", "core", t.staging); err != nil {
		return err
	}
	return t.create(ctx, directory, set)
}

// fetch lets the second core fetch from l.
func (t *target) fetch(ctx context.Context, l *leader) error {
	listener, address, err := t.listen(ctx)
	if err != nil {
		return err
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // which Solr speaks to other servers
	server := &http.Server{Handler: l, Protocols: protocols, ReadHeaderTimeout: dialTimeout}
	var group errgroup.Group
	group.Go(func() error { return server.Serve(listener) })
	stop := context.AfterFunc(ctx, func() { l.fail(context.Cause(ctx)); _ = server.Close() })

	var answer struct{ Status, Message string }
	err = t.ask(context.WithoutCancel(ctx), "fetch the index", "/"+t.staging+"/replication",
		query("command", "fetchindex", "wait", "true", "leaderUrl", "http://"+address+l.path), &answer)
	stop()
	_ = server.Close()
	_ = group.Wait() // http.ErrServerClosed
	asked, failed := l.outcome()
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return err
	case !asked:
		return fmt.Errorf("%s did not come to fetch the index from %s: allow it that address, by "+
			"SOLR_OPTS=\"-Dsolr.allowUrls=http://%s/solr\" or allowUrls in its solr.xml, and see that it can be reached from there "+
			"(another address: ?leader=host:port)", t.at(), address, address)
	case answer.Status != "OK":
		return fmt.Errorf("%s, core %s: fetch the index: %s (its log says why)", t.at(), t.core, answer.Message)
	}
	return nil
}

// verify compares the second core with the snapshot.
func (t *target) verify(ctx context.Context, s stored, config map[string]storedConfig, content engines.Content) error {
	wrong := func(what string) error {
		return fmt.Errorf("%s: the second core of %s is not what was sent: %s", t.at(), t.core, what)
	}
	c, err := t.newest(ctx, t.staging)
	if err != nil {
		return err
	}
	if c.Generation != s.commit.Generation || !slices.Equal(c.Files, s.commit.Files) {
		return wrong(fmt.Sprintf("it has other files, of %s instead of %s", c.position(), s.commit.position()))
	}
	if c.Documents != s.commit.Documents {
		return wrong(fmt.Sprintf("%d documents instead of %d", c.Documents, s.commit.Documents))
	}
	core, err := t.coreStatus(ctx, t.staging)
	if err != nil {
		return err
	}
	if core.Index.Documents != s.commit.Documents {
		return wrong(fmt.Sprintf("%d of %d documents can be found", core.Index.Documents, s.commit.Documents))
	}
	same, err := t.hasConfig(ctx, t.staging, config, content)
	if err != nil {
		return err
	}
	if !same {
		return wrong("another config set")
	}
	return nil
}
