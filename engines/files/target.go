package files

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// target replaces what is in one mount, or one path beneath it.
type target struct {
	service  engines.Service
	path     string // of the mount
	token    string
	subpath  []string
	patterns []pattern
	disk     disk

	shop *workshop // open between the first call that needs it and Close
}

// enter opens the workshop that is there; nil if there is none.
func (t *target) enter() (*workshop, error) {
	if t.shop == nil {
		shop, err := openWorkshop(&t.disk, t.path, t.token)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		t.shop = shop
	}
	if t.shop == nil || t.shop.own < 0 {
		return nil, nil
	}
	return t.shop, nil
}

// directoryOf returns the entry of the mount: a snapshot has one per mount.
func (t *target) directoryOf(entries []tree.Entry) (tree.Entry, error) {
	if len(entries) != 1 || entries[0].Type != tree.Directory || entries[0].Name != t.service.Name {
		return tree.Entry{}, fmt.Errorf("what the snapshot has of %q is not one directory: %w", t.service.Name, tree.ErrInvalid)
	}
	return entries[0], entries[0].Validate()
}

// Check implements engines.Checker.
func (t *target) Check(ctx context.Context, entries []tree.Entry, content engines.Content, _ *engines.Plan) error {
	_, _, err := t.prepare(ctx, entries, content)
	return err
}

// prepare finds what is to be restored, the entries on the way to it, and whether it can be.
func (t *target) prepare(ctx context.Context, entries []tree.Entry, content engines.Content) (*rules, []tree.Entry, error) {
	directory, err := t.directoryOf(entries)
	if err != nil {
		return nil, nil, err
	}
	r, err := newRules(t.service, t.path, t.patterns)
	if err != nil {
		return nil, nil, err
	}
	way, err := t.find(ctx, r, directory, content)
	if err != nil {
		return nil, nil, err
	}
	if err := t.checkMounts(); err != nil {
		return nil, nil, err
	}
	return r, way, checkRoom(ctx, t.path, way[len(way)-1:], content)
}

// Stage builds the new tree in .holdfast, complete with attributes.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (engines.Staged, error) {
	r, way, err := t.prepare(ctx, entries, content)
	if err != nil {
		return engines.Staged{}, err
	}
	shop, err := makeWorkshop(&t.disk, t.path, t.token)
	if err != nil {
		return engines.Staged{}, fmt.Errorf("%s: %w", t.path, err)
	}
	t.shop = shop
	staged, err := t.build(ctx, r, way, content)
	if err != nil {
		return engines.Staged{}, fmt.Errorf("stage in %s: %w", filepath.Join(t.path, hidden), err)
	}
	return staged, nil
}

func (t *target) build(ctx context.Context, r *rules, way []tree.Entry, content engines.Content) (engines.Staged, error) {
	shop := t.shop
	for _, name := range []string{dirStaged, dirRetired} {
		if there, err := shop.has(name); err != nil || there {
			return engines.Staged{}, errors.Join(err, errors.New("something was staged under this token before; discard it first"))
		}
	}
	at := &place{name: t.service.Name}
	staged, err := build(shop.disk, shop.own, shop.root, content, r, t.service.Name, func(w *writer) error {
		return w.mount(ctx, shop.own, at, way)
	})
	if err != nil {
		return engines.Staged{}, err
	}
	if err := t.foresee(r); err != nil {
		return engines.Staged{}, err
	}
	if err := shop.disk.rename(shop.own, dirBuilding, shop.own, dirStaged); err != nil {
		return engines.Staged{}, err
	}
	if note := t.ownerNote(); note != "" {
		staged.Notes = append(staged.Notes, note)
	}
	return staged, shop.disk.sync(shop.own)
}

// foresee makes a swap plan to learn whether there can be one.
func (t *target) foresee(r *rules) error {
	building, err := openDirectory(t.shop.own, dirBuilding)
	if err != nil {
		return err
	}
	defer unix.Close(building)
	_, err = surveySwap(t.path, r, t.service.Name, t.subpath, t.shop.root, building)
	return err
}

// ownerNote says what Swap will not be able to do to the mount itself.
func (t *target) ownerNote() string {
	st, err := statAt(t.shop.root, "")
	if err != nil || unix.Geteuid() == 0 || int(st.uid) == unix.Geteuid() {
		return ""
	}
	return fmt.Sprintf("%s: owner, mode and times of the directory itself stay as they are, it belongs to another user", t.service.Name)
}

// find returns the entries on the way to what is to be restored: the mount
// itself, the directories down to the subpath, and that.
func (t *target) find(ctx context.Context, r *rules, mount tree.Entry, content engines.Content) ([]tree.Entry, error) {
	way := []tree.Entry{mount}
	at := &place{name: mount.Name}
	for i, name := range t.subpath {
		child, err := findChild(ctx, content, way[i], name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", at.path(name), err)
		case r.left(at, name, child.Type == tree.Directory):
			return nil, fmt.Errorf("%s is excluded, so it cannot be restored; take the pattern out of the configuration for this", at.path(name))
		case i < len(t.subpath)-1 && child.Type != tree.Directory:
			return nil, fmt.Errorf("%s is a %s in the snapshot, with nothing beneath it", at.path(name), child.Type)
		}
		way, at = append(way, child), at.child(name)
	}
	return way, nil
}

func findChild(ctx context.Context, content engines.Content, directory tree.Entry, name string) (tree.Entry, error) {
	for child, err := range content.Children(ctx, directory) {
		if err != nil {
			return tree.Entry{}, err
		}
		if child.Name == name {
			return child, child.Validate()
		}
	}
	return tree.Entry{}, errors.New("is not in the snapshot")
}

// Swap exchanges what is staged and what is current, name by name. Called again
// it goes on where it stopped.
func (t *target) Swap(ctx context.Context) error {
	shop, err := t.enter()
	if err != nil {
		return err
	}
	if shop == nil {
		return fmt.Errorf("%s: nothing is staged there", t.path)
	}
	if retired, err := shop.has(dirRetired); err != nil || retired {
		return err
	}
	plan, err := t.loadPlan()
	if err == nil && plan == nil {
		plan, err = t.makePlan()
	}
	if err != nil {
		return fmt.Errorf("plan the swap of %s: %w", t.path, err)
	}
	if err := t.exchange(ctx, plan, false); err != nil {
		return err
	}
	return errors.Join(shop.disk.rename(shop.own, dirStaged, shop.own, dirRetired), shop.disk.sync(shop.own))
}

// makePlan looks what there is to do and writes it down.
func (t *target) makePlan() (*swapPlan, error) {
	if err := t.checkMounts(); err != nil {
		return nil, err
	}
	r, err := newRules(t.service, t.path, t.patterns)
	if err != nil {
		return nil, err
	}
	staged, err := openDirectory(t.shop.own, dirStaged)
	if err == unix.ENOENT {
		return nil, errors.New("nothing is staged there, or not all of it")
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(staged)
	plan, err := surveySwap(t.path, r, t.service.Name, t.subpath, t.shop.root, staged)
	if err != nil {
		return nil, err
	}
	data, err := plan.encode()
	if err != nil {
		return nil, err
	}
	return plan, t.disk.writeFile(t.shop.own, filePlan, data)
}

// loadPlan returns nil if no plan is there: then no name has moved.
func (t *target) loadPlan() (*swapPlan, error) {
	data, err := readFile(t.shop.own, filePlan, maxSwapPlan)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeSwapPlan(data)
}

func (t *target) exchange(ctx context.Context, plan *swapPlan, backward bool) error {
	x := &exchange{disk: &t.disk, mount: t.path, backward: backward, root: t.shop.root}
	for _, open := range []struct {
		fd   *int
		name string
		make bool
	}{{&x.side, dirStaged, false}, {&x.between, dirBetween, true}, {&x.strays, dirStrays, true}} {
		var err error
		if open.make {
			*open.fd, err = t.disk.makeDirectory(t.shop.own, open.name)
		} else {
			*open.fd, err = openDirectory(t.shop.own, open.name)
		}
		if err != nil {
			return fmt.Errorf("open %s: %w", filepath.Join(t.path, hidden, t.token, open.name), err)
		}
		defer unix.Close(*open.fd)
	}
	return x.run(ctx, plan)
}

// Revert exchanges everything back, as far as it was exchanged. It does not stop
// when ctx ends: half way is no place to stay.
func (t *target) Revert(ctx context.Context) error {
	shop, err := t.enter()
	if shop == nil || err != nil {
		return err
	}
	plan, err := t.loadPlan()
	if plan == nil || err != nil {
		return err
	}
	retired, err := shop.has(dirRetired)
	if err == nil && retired {
		err = errors.Join(shop.disk.rename(shop.own, dirRetired, shop.own, dirStaged), shop.disk.sync(shop.own))
	}
	if err == nil {
		err = t.exchange(context.WithoutCancel(ctx), plan, true)
	}
	if err == nil {
		err = errors.Join(shop.disk.unlink(shop.own, filePlan), shop.disk.sync(shop.own))
	}
	if err != nil {
		return fmt.Errorf("bring %s back to what it was: %w", t.path, err)
	}
	return nil
}

// Found implements engines.Finder.
func (t *target) Found(context.Context) (bool, error) {
	shop, err := t.enter()
	return shop != nil, err
}

// Retired returns a Source of the tree that Swap put aside. After a restore of a
// subpath it holds that path alone.
func (t *target) Retired(context.Context) (engines.Source, error) {
	shop, err := t.enter()
	if err != nil {
		return nil, err
	}
	if shop == nil {
		return nil, fmt.Errorf("%s: nothing was replaced there", t.path)
	}
	if retired, err := shop.has(dirRetired); err != nil || !retired {
		return nil, errors.Join(err, fmt.Errorf("%s: nothing was replaced there", t.path))
	}
	return &source{
		unheld: true, // no visitor comes here any more
		name:   t.service.Name,
		path:   filepath.Join(t.path, hidden, t.token, dirRetired),
		now:    time.Now,
		open:   func() (int, error) { return openDirectory(shop.own, dirRetired) },
		rules:  func() (*rules, error) { return newRules(t.service, t.path, t.patterns) },
		clock:  startClock,
		follow: startWatch,
	}, nil
}

// Discard removes what is staged or retired. From its first step on Revert does
// nothing any more. A swap that stopped half way is refused: it must be reverted
// first, or the retired half would be lost.
func (t *target) Discard(context.Context) error {
	_, err := t.enter()
	if err != nil {
		return err
	}
	if t.shop != nil {
		if err := t.discard(t.shop); err != nil {
			return fmt.Errorf("clear %s: %w", filepath.Join(t.path, hidden, t.token), err)
		}
	}
	if err := removeUnfinished(&t.disk, t.path, t.token); err != nil {
		return fmt.Errorf("clear beside %s: %w", t.path, err)
	}
	return t.Close()
}

func (t *target) discard(shop *workshop) error {
	if shop.own < 0 {
		return shop.leave()
	}
	planned, err := shop.has(filePlan)
	if err != nil {
		return err
	}
	retired, err := shop.has(dirRetired)
	if err != nil {
		return err
	}
	if planned && !retired {
		return errors.New("the swap stopped half way; revert it first")
	}
	created, err := shop.has(fileCreated)
	if err != nil {
		return err
	}
	if created && !retired {
		if err := shop.clear(fileCreated); err != nil {
			return err
		}
		if left, err := shop.leaveMount(t.path); left || err != nil {
			return err
		}
	}
	for _, name := range []string{fileCreated, filePlan} {
		if err := shop.disk.unlink(shop.own, name); err != nil && err != unix.ENOENT {
			return err
		}
	}
	if err := shop.disk.sync(shop.own); err != nil {
		return err
	}
	if err := shop.clear(); err != nil {
		return err
	}
	return shop.leave()
}

// Close releases the lock on the mount.
func (t *target) Close() error {
	if t.shop != nil {
		t.shop.close()
		t.shop = nil
	}
	return nil
}
