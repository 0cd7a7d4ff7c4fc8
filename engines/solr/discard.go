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
	if err := t.removeSet(ctx, second, inUse); err != nil {
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

// removeSet removes the config set that a restore has put within another for the
// second core, unless it is in use. Both are given as config directories. Solr
// removes directories of cores only, so it becomes one for that moment.
func (t *target) removeSet(ctx context.Context, second, inUse string) error {
	root, set := rootSet(second), path.Dir(second)
	if set == root { // the core's own, or it did not come so far as to use ours
		there, err := t.brought(ctx)
		if err != nil || !there {
			return err
		}
		set = path.Join(second, t.setName())
	}
	if path.Join(set, "conf") == inUse {
		return nil
	}
	name := t.staging + "_conf"
	if err := t.admin(ctx, "remove a config set", "action", "CREATE", "name", name, "instanceDir", set, "configSet", root); err != nil {
		return err
	}
	return t.admin(context.WithoutCancel(ctx), "remove a config set", "action", "UNLOAD", "core", name, "deleteInstanceDir", "true")
}

// brought reports whether this restore has put a config set into that of the
// second core.
func (t *target) brought(ctx context.Context) (bool, error) {
	err := t.ask(ctx, "look for a config set", "/"+t.staging+"/admin/file", query("file", t.setName()), &struct{}{})
	if code(err) == 404 {
		return false, nil
	}
	return err == nil, err
}
