package solr

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// target replaces one core.
type target struct {
	place
	token   string
	taken   string // the server that the snapshot comes from, "" where that is not known
	staging string // name of the second core, and of the directory of the new data
}

// created is added to the name of the directory of new data where there was no
// core: that is how Revert knows.
const created = "_new"

// Plan implements engines.Target.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	if len(entries) == 0 || entries[0].Type != tree.Directory {
		return engines.Plan{}, fmt.Errorf("service %s: %w", t.service, errNotCore)
	}
	here, err := t.identify(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	var plan engines.Plan
	if plan.Warnings, err = t.warnings(ctx, here); err != nil {
		return engines.Plan{}, err
	}
	current, err := t.coreStatus(ctx, t.core)
	if err != nil {
		return engines.Plan{}, err
	}
	if current.Name == "" {
		plan.Creates = true
		return plan, t.creatable()
	}
	plan.Empty = current.Index.Documents == 0
	plan.Replaces = fmt.Sprintf("core %s (%d documents, %s)", t.core, current.Index.Documents, humanize.IBytes(uint64(current.Index.Bytes)))
	return plan, nil
}

// warnings says what may not work because the servers differ, and what another
// restore has left.
func (t *target) warnings(ctx context.Context, here string) ([]string, error) {
	var all []string
	if engines.Older(here, t.taken, 2) {
		all = append(all, fmt.Sprintf("the snapshot is of %s, and the server at %s is %s, which is older: "+
			"if its Lucene cannot read the index, the restore fails before anything is replaced", t.taken, t.address, here))
	}
	left, err := t.coresOf(ctx, t.core+"_"+ours)
	for _, name := range left {
		if name != t.staging {
			all = append(all, fmt.Sprintf("core %s at %s is of another restore: if none is at work, and no snapshot waits to be taken from it, unload it", name, t.address))
		}
	}
	return all, err
}

// creatable refuses to create a core without a config set to begin with.
func (t *target) creatable() error {
	if t.configSet != "" {
		return nil
	}
	return fmt.Errorf("%s has no core %s, and none can be created out of nothing over HTTP: create it first, "+
		"or add ?configset=NAME to the address, with a config set of the server", t.at(), t.core)
}

// state is what a restore finds out of how far it came.
type state struct {
	current coreStatus // the core with the site's name; its Name is "" if there is none
	second  coreStatus // the core with the restore's name
	swapped bool       // current has the new data
}

// look asks the server for the state.
func (t *target) look(ctx context.Context) (state, error) {
	var s state
	var err error
	if s.current, err = t.coreStatus(ctx, t.core); err != nil {
		return state{}, err
	}
	if s.second, err = t.coreStatus(ctx, t.staging); err != nil {
		return state{}, err
	}
	s.swapped = s.current.Name != "" && t.isNew(s.current)
	return s, nil
}

// isNew reports whether a core holds the data of this restore.
func (t *target) isNew(core coreStatus) bool {
	return strings.TrimSuffix(path.Base(core.InstanceDir), created) == t.staging
}

// adminLimit bounds a request that changes cores. It is far more than any needs.
const adminLimit = 5 * time.Minute

// admin changes the server's cores. What was begun is waited for: a core that is
// created after we have looked for it would stay.
func (t *target) admin(ctx context.Context, doing string, pairs ...string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminLimit)
	defer cancel()
	return t.ask(ctx, doing, "/admin/cores", query(pairs...), &struct{}{})
}

// Swap implements engines.Target.
func (t *target) Swap(ctx context.Context) error {
	s, err := t.look(ctx)
	if err != nil || s.swapped {
		return err
	}
	if s.second.Name == "" {
		return fmt.Errorf("%s, core %s: restore %s has not been staged", t.at(), t.core, t.token)
	}
	if s.current.Name != "" {
		return t.swap(ctx)
	}
	if !strings.HasSuffix(s.second.InstanceDir, created) { // Revert would not know what to do
		return fmt.Errorf("%s: core %s is gone, which was there when its restore was staged", t.at(), t.core)
	}
	return t.admin(ctx, "rename the new core", "action", "RENAME", "core", t.staging, "other", t.core)
}

// swap exchanges the names of the two cores.
func (t *target) swap(ctx context.Context) error {
	return t.admin(ctx, "swap the cores", "action", "SWAP", "core", t.core, "other", t.staging)
}

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) error {
	s, err := t.look(ctx)
	switch {
	case err != nil || !s.swapped:
		return err
	case s.second.Name != "":
		return t.swap(ctx)
	case strings.HasSuffix(s.current.InstanceDir, created):
		return t.admin(ctx, "rename the new core", "action", "RENAME", "core", t.core, "other", t.staging)
	default:
		return fmt.Errorf("%s, core %s: restore %s cannot be undone, what it had replaced has been removed", t.at(), t.core, t.token)
	}
}

// Retired implements engines.Target.
func (t *target) Retired(ctx context.Context) (engines.Source, error) {
	s, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	if !s.swapped || s.second.Name == "" {
		return nil, fmt.Errorf("%s, core %s: restore %s has not swapped, so nothing is retired", t.at(), t.core, t.token)
	}
	return &source{place: t.place, retired: t.staging, now: time.Now, pingEvery: pingEvery}, nil
}

// Close implements engines.Target.
func (t *target) Close() error {
	t.close()
	return nil
}
