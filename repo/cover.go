package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
	"holdfast/repo/parity"
)

// Covered says what parity covers.
type Covered struct {
	Percent   int      `json:"percent"` // 0: parity is off
	Groups    int      `json:"groups"`
	Objects   int      `json:"objects"` // covered
	Bytes     uint64   `json:"bytes"`   // of these
	Parity    uint64   `json:"parity"`  // bytes that it takes
	Uncovered int      `json:"uncovered"`
	Made      int      `json:"made,omitempty"`    // groups, by this run
	Damaged   []string `json:"damaged,omitempty"` // objects that are not covered because they are damaged, and groups that cannot be read
}

// UpdateParity covers what is not covered yet, if parity is on, and removes all of
// it if it is off. It joins groups that are small when there are many; a group of
// another strength than is set is made again. progress, which may be nil, is told the
// bytes read.
func (r *Repository) UpdateParity(ctx context.Context, progress func(int64)) (Covered, error) {
	percent, err := r.Parity(ctx)
	if err != nil {
		return Covered{}, err
	}
	if err := r.store.withdrawAgain(ctx); err != nil {
		return Covered{}, err
	}
	c := coverer{repo: r, percent: percent, progress: progress}
	if err := c.survey(ctx); err != nil {
		return c.done, err
	}
	if percent == 0 {
		c.done = Covered{}
		return c.done, c.remove(ctx, append(c.groups, c.unreadable...))
	}
	for _, class := range []class{contents, listings} {
		if err := c.cover(ctx, class); err != nil {
			return c.done, err
		}
	}
	// What a disk does not read today it may read tomorrow: a repair decides.
	worn := slices.DeleteFunc(c.unreadable, func(g parity.Stored) bool { return errors.Is(g.Err, storage.ErrUnreadable) })
	if err := c.remove(ctx, worn); err != nil {
		return c.done, err
	}
	made, damaged := c.done.Made, c.done.Damaged
	c = coverer{repo: r, percent: percent}
	err = c.survey(ctx)
	c.done.Made, c.done.Damaged = made, damaged
	return c.done, err
}

// ParityStatus says what is covered, and changes nothing.
func (r *Repository) ParityStatus(ctx context.Context) (Covered, error) {
	percent, err := r.Parity(ctx)
	if err != nil {
		return Covered{}, err
	}
	c := coverer{repo: r, percent: percent}
	err = c.survey(ctx)
	for _, g := range c.unreadable {
		c.done.Damaged = append(c.done.Damaged, g.Object)
	}
	return c.done, err
}

// ParityGroups yields all groups of the repository; see parity.Groups.
func (r *Repository) ParityGroups(ctx context.Context) func(func(parity.Stored, error) bool) {
	return parity.Groups(ctx, r.store.Storage)
}

// coverer is one run. Packs and segments are of the class contents, all else of
// the class listings: records are small, and of each group of them any one can
// vanish.
type coverer struct {
	repo     *Repository
	percent  int
	progress func(int64)
	done     Covered

	groups     []parity.Stored
	unreadable []parity.Stored
	open       [classes][]storage.Info  // what is not covered
	was        map[string]parity.Member // what is, as its group has it
}

func classOf(object string) class {
	if strings.HasPrefix(object, "packs/") || strings.HasPrefix(object, "index/") {
		return contents
	}
	return listings
}

func (c *coverer) survey(ctx context.Context) error {
	c.done.Percent = c.percent
	c.was = map[string]parity.Member{}
	for g, err := range c.repo.ParityGroups(ctx) {
		if err != nil {
			return err
		}
		if g.Group == nil {
			c.unreadable = append(c.unreadable, g)
			continue
		}
		c.groups = append(c.groups, g)
		c.done.Groups++
		c.done.Parity += uint64(g.Size)
		for _, m := range g.Members {
			if _, known := c.was[m.Name]; !known {
				c.done.Objects++
				c.done.Bytes += uint64(m.Size)
			}
			c.was[m.Name] = m
		}
	}
	add := func(info storage.Info) {
		if _, known := c.was[info.Name]; !known {
			class := classOf(info.Name)
			c.open[class] = append(c.open[class], info)
			c.done.Uncovered++
		}
	}
	info, err := c.repo.store.Stat(ctx, "config")
	if err != nil {
		return err
	}
	add(info)
	for _, folder := range coveredFolders {
		for info, err := range c.repo.store.List(ctx, folder) {
			if err != nil {
				return fmt.Errorf("list %s: %w", folder, err)
			}
			add(info)
		}
	}
	return nil
}

const (
	// fullParity is the parity of a group that is large enough, in bytes: twice a
	// pack, so that any one pack can vanish, and what a Builder keeps in memory.
	fullParity = 2 * packSize
	// smallGroups is how many groups may be less than half of that before they are
	// made one.
	smallGroups = 8
)

func (c *coverer) full() int64 { return int64(fullParity) * 100 / int64(c.percent) }

// cover makes groups of what is not covered, and of the members of groups that are
// to be made again.
func (c *coverer) cover(ctx context.Context, class class) error {
	old := c.outdated(ctx, class)
	objects := c.open[class]
	for _, g := range old {
		for _, m := range g.Members {
			objects = append(objects, storage.Info{Name: m.Name, Size: m.Size})
		}
	}
	slices.SortFunc(objects, func(a, b storage.Info) int { return strings.Compare(a.Name, b.Name) })
	objects = slices.Compact(objects)
	for len(objects) > 0 {
		n, size := 0, int64(0)
		for n < len(objects) && n < maxMembers && (n == 0 || size+objects[n].Size <= c.full()) {
			size += objects[n].Size
			n++
		}
		if err := c.make(ctx, class, objects[:n]); err != nil {
			return err
		}
		objects = objects[n:]
	}
	// A group with a member that is damaged by now is what mends it.
	needed := func(g parity.Stored) bool {
		return slices.ContainsFunc(g.Members, func(m parity.Member) bool { return slices.Contains(c.done.Damaged, m.Name) })
	}
	return c.remove(ctx, slices.DeleteFunc(old, needed))
}

// maxMembers bounds the members of a group.
const maxMembers = 1 << 12

// outdated returns the groups to be made again: of another strength than is set,
// or too small when there are many. One whose members are not all as they were is
// never among them: a repair needs it.
func (c *coverer) outdated(ctx context.Context, class class) []parity.Stored {
	var weak, small []parity.Stored
	for _, g := range c.groups {
		if len(g.Members) == 0 || classOf(g.Members[0].Name) != class {
			continue
		}
		if g.Shape != shapeOf(g.Members, c.percent, class) {
			weak = append(weak, g)
		} else if g.Bytes() < c.full()/2 && len(g.Members) < maxMembers/2 {
			small = append(small, g)
		}
	}
	if len(small) >= smallGroups {
		weak = append(weak, small...)
	}
	return slices.DeleteFunc(weak, func(g parity.Stored) bool {
		whole, err := c.repo.HasWhole(ctx, g.Members)
		return !whole || err != nil
	})
}

func shapeOf(members []parity.Member, percent int, class class) parity.Shape {
	sizes := make([]int64, len(members))
	for i, m := range members {
		sizes[i] = m.Size
	}
	return parity.ShapeOf(sizes, percent, class == listings)
}

func (c *coverer) remove(ctx context.Context, groups []parity.Stored) error {
	for _, g := range groups {
		if err := c.repo.store.Storage.Delete(ctx, g.Object); err != nil {
			return err
		}
	}
	return nil
}

// errSpoiled: an object cannot be a member, because it is damaged or gone.
type errSpoiled struct{ object string }

func (e *errSpoiled) Error() string { return e.object + " is damaged or gone" }

// make makes one group. What is damaged is left out: parity of it would
// bring the damage back.
func (c *coverer) make(ctx context.Context, class class, objects []storage.Info) error {
	for len(objects) > 0 {
		name, object, err := c.build(ctx, class, objects)
		var spoiled *errSpoiled
		if errors.As(err, &spoiled) {
			objects = slices.DeleteFunc(slices.Clone(objects), func(o storage.Info) bool { return o.Name == spoiled.object })
			continue
		}
		if err != nil {
			return err
		}
		if err := c.repo.store.Put(ctx, name, object); err != nil {
			return err
		}
		c.done.Made++
		// Whoever removes an object looks for its groups afterwards too: either they
		// see this one, or it sees that the object is gone.
		for _, o := range objects {
			if _, err := c.repo.store.Stat(ctx, o.Name); errors.Is(err, fs.ErrNotExist) {
				c.done.Made--
				return c.repo.store.Storage.Delete(ctx, name)
			}
		}
		return nil
	}
	return nil
}

func (c *coverer) build(ctx context.Context, class class, objects []storage.Info) (name string, object []byte, err error) {
	members := make([]parity.Member, len(objects))
	for i, o := range objects {
		members[i] = parity.Member{Name: o.Name, Size: o.Size}
	}
	b, err := parity.NewBuilder(shapeOf(members, c.percent, class), members)
	if err != nil {
		return "", nil, err
	}
	for _, o := range objects {
		at, err := c.verified(ctx, o)
		if err != nil {
			return "", nil, err
		}
		if err := b.Add(at); err != nil {
			return "", nil, err
		}
		if c.progress != nil {
			c.progress(o.Size)
		}
	}
	return b.Finish()
}

// verified returns an object's bytes, which are what they must be, as far as they
// can be told.
func (c *coverer) verified(ctx context.Context, o storage.Info) (io.ReaderAt, error) {
	if o.Size > pack.MaxSize { // a large index segment
		at := storage.At(ctx, c.repo.store, o.Name)
		sealed, err := c.repo.keys.OpenReader(seal.Segment, o.Name, o.Size, at)
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(sealed, 0, sealed.Size()))
		}
		return at, c.spoiled(ctx, o.Name, c.repo.orDamaged(ctx, err))
	}
	data, err := storage.ReadAll(ctx, c.repo.store, o.Name, pack.MaxSize)
	if err == nil {
		err = c.repo.verifyObject(ctx, o.Name, data)
	}
	if err == nil && int64(len(data)) != o.Size {
		err = seal.ErrDamaged
	}
	if was, known := c.was[o.Name]; err == nil && known && !was.Is(data) {
		err = seal.ErrDamaged // a key slot shows it by nothing else
	}
	return bytes.NewReader(data), c.spoiled(ctx, o.Name, err)
}

func (c *coverer) spoiled(ctx context.Context, object string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case Foreign(err):
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.done.Damaged = append(c.done.Damaged, object)
	}
	return &errSpoiled{object}
}

// verifyObject compares a whole object with its name and seal.
func (r *Repository) verifyObject(ctx context.Context, object string, data []byte) error {
	kinds := map[string]seal.Type{"index": seal.Segment, "snapshots": seal.Snapshot, "pins": seal.Pin, "trash": seal.Trash,
		"condemned": seal.Condemned, "damaged": seal.Damage, "parity": seal.Setting, "epochs": seal.Setting, "config": seal.Config}
	folder, _, _ := strings.Cut(object, "/")
	switch folder {
	case "packs":
		return pack.VerifyName(object, data)
	case "keys":
		_, err := seal.ParseSlot(data)
		return versionOrDamaged(ctx, r.store, err)
	}
	_, err := r.keys.Open(kinds[folder], object, data)
	return r.orDamaged(ctx, err)
}
