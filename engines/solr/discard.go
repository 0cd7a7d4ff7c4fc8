package solr

import (
	"context"
	"path"
	"strings"
)

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) error {
	s, err := t.look(ctx)
	if err != nil || s.second.Name == "" {
		return err
	}
	inUse := ""
	if s.current.Name != "" {
		if inUse, err = t.configDirectory(ctx, t.core); err != nil {
			return err
		}
	}
	second, err := t.configDirectory(ctx, t.staging)
	if err != nil {
		return err
	}
	if err := t.removeSets(ctx, second, inUse); err != nil {
		return err
	}
	unload := []string{"action", "UNLOAD", "core", t.staging, "deleteDataDir", "true"}
	// The data that a restore has replaced are in the directory whose config set is
	// the current core's still.
	if !strings.HasPrefix(inUse, s.second.InstanceDir+"/") {
		unload = append(unload, "deleteInstanceDir", "true")
	}
	return t.admin(ctx, "remove the second core", unload...)
}

// removeSets removes the config sets that restores have put within another and
// that will be nobody's: this restore's, and that of the second core. What is in
// use, given as config directories, stays.
func (t *target) removeSets(ctx context.Context, second, inUse string) error {
	root := rootSet(second)
	sets := []string{path.Join(root, "conf", t.setName())}
	if set := path.Dir(second); set != root && set != sets[0] {
		sets = append(sets, set)
	}
	for _, set := range sets {
		if path.Join(set, "conf") == inUse {
			continue
		}
		if err := t.removeSet(ctx, root, set); err != nil {
			return err
		}
	}
	return nil
}

// removeSet removes a config set's directory, if it is there. Solr removes
// directories of cores only, so it becomes one for that moment.
func (t *target) removeSet(ctx context.Context, root, set string) error {
	err := t.ask(ctx, "look for a config set", "/"+t.staging+"/admin/file", query("file", path.Base(set)), &struct{}{})
	if code(err) == 404 {
		return nil
	}
	if err != nil {
		return err
	}
	name := t.staging + "_conf"
	if err := t.admin(ctx, "remove a config set", "action", "CREATE", "name", name, "instanceDir", set, "configSet", root); err != nil {
		return err
	}
	return t.admin(context.WithoutCancel(ctx), "remove a config set", "action", "UNLOAD", "core", name, "deleteInstanceDir", "true")
}
