package files

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// exchange carries out a swap plan, forwards or backwards. It asks the
// directories themselves where each inode is, so it can take over from one that
// died at any point, in either direction.
type exchange struct {
	disk     *disk
	mount    string // for messages
	backward bool
	root     int // the mount
	side     int // staged or retired: what is not current
	between  int // where a name waits if two cannot be exchanged at once
	strays   int // backwards: for what is in the place of a name that returns
}

// run brings every name of the plan to its place, then every attribute, durably.
func (x *exchange) run(ctx context.Context, p *swapPlan) error {
	for i, d := range p.Directories {
		if err := x.names(ctx, i, &d); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(p.Directories) {
		if err := x.attributes(&d); err != nil {
			return x.wrap(&d, "", err)
		}
	}
	return x.sync(p)
}

// manyDirectories is from where on one sync of the whole filesystem is cheaper.
const manyDirectories = 16

func (x *exchange) sync(p *swapPlan) error {
	if len(p.Directories) > manyDirectories {
		return x.disk.syncAll(x.root)
	}
	for _, d := range p.Directories {
		current, side, err := x.open(&d)
		if err != nil {
			return x.wrap(&d, "", err)
		}
		err = errors.Join(x.disk.sync(current), x.disk.sync(side), unix.Close(current), unix.Close(side))
		if err != nil {
			return x.wrap(&d, "", err)
		}
	}
	return errors.Join(x.disk.sync(x.between), x.disk.sync(x.strays))
}

func (x *exchange) wrap(d *stayer, name string, err error) error {
	path := strings.Join(append(slices.Clone(d.Path), name), "/")
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%w (a directory of a lower layer of an overlay cannot be moved; keep the data on a volume of its own)", err)
	}
	return fmt.Errorf("exchange %s in %s: %w", strings.TrimSuffix(path, "/"), x.mount, err)
}

// names exchanges what one directory holds.
func (x *exchange) names(ctx context.Context, number int, d *stayer) error {
	if d.Made {
		if err := x.makeRoom(d); err != nil {
			return x.wrap(d, "", err)
		}
	}
	current, side, err := x.open(d)
	if err != nil {
		return x.wrap(d, "", err)
	}
	defer unix.Close(current)
	defer unix.Close(side)
	x.loosen(current)
	x.loosen(side)
	for i, m := range d.Moves {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		place := fmt.Sprintf("%d-%d", number, i)
		x.chmod(current, side, place, &m, 0o700)
		err := x.bring(current, side, m.Name, place, &m)
		x.chmod(current, side, place, &m, 0)
		if err != nil {
			return x.wrap(d, m.Name, err)
		}
	}
	return nil
}

func (x *exchange) open(d *stayer) (current, side int, err error) {
	if current, err = x.reach(d.Path); err != nil {
		return -1, -1, err
	}
	if side, err = openBeneath(x.side, d.Path); err != nil {
		unix.Close(current)
	}
	return current, side, err
}

// reach opens a directory that stays. Where the site has removed it since, or put something
// else in its place, a revert makes it anew: what returns has to lie somewhere.
func (x *exchange) reach(path []string) (int, error) {
	fd, err := openBeneath(x.root, path)
	if !x.backward || err != unix.ENOENT && err != unix.ENOTDIR && err != unix.ELOOP {
		return fd, err
	}
	last := len(path) - 1
	parent, err := openBeneath(x.root, path[:last])
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	there, err := inodeOf(parent, path[last])
	if err == nil && there != 0 {
		err = x.disk.rename(parent, path[last], x.strays, fmt.Sprintf("directory-%d", there))
	}
	if err != nil {
		return -1, err
	}
	return x.disk.makeDirectory(parent, path[last])
}

func (x *exchange) makeRoom(d *stayer) error {
	last := len(d.Path) - 1
	parent, err := openBeneath(x.side, d.Path[:last])
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	fd, err := x.disk.makeDirectory(parent, d.Path[last])
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// loosen lets us write in a directory of ours whose mode forbids it; attributes
// sets it right again.
func (x *exchange) loosen(fd int) {
	st, err := statAt(fd, "")
	if err == nil && unix.Geteuid() != 0 && st.mode&0o700 != 0o700 {
		_ = x.disk.do("chmod", ".", func() error { return unix.Fchmod(fd, st.mode&0o7777|0o700) })
	}
}

// chmod gives the directories that m notes as closed their mode and more bits,
// wherever they are now.
func (x *exchange) chmod(current, side int, place string, m *move, more uint32) {
	if m.OldMode == 0 && m.NewMode == 0 {
		return
	}
	for _, at := range []struct {
		dir  int
		name string
	}{{current, m.Name}, {side, m.Name}, {x.between, place}} {
		handle, st, err := openHandle(at.dir, at.name)
		if err != nil {
			continue
		}
		for _, known := range []struct {
			inode uint64
			mode  uint32
		}{{m.Old, m.OldMode}, {m.New, m.NewMode}} {
			if st.ino == known.inode && known.mode != 0 {
				_ = x.disk.do("chmod", at.name, func() error { return unix.Chmod(handlePath(handle), known.mode&0o7777|more) })
			}
		}
		unix.Close(handle)
	}
}

// whereabouts is where the inodes of one name are: in its place, beside it, and between
// the two; 0 where there is none.
type whereabouts struct{ there, beside, waiting uint64 }

func (x *exchange) look(current, side int, name, place string) (w whereabouts, err error) {
	if w.there, err = inodeOf(current, name); err != nil {
		return w, err
	}
	if w.beside, err = inodeOf(side, name); err != nil {
		return w, err
	}
	w.waiting, err = inodeOf(x.between, place)
	return w, err
}

// bring makes name, in the directory current, what it is to be, and puts what is there to
// the side. Each round of the loop looks where things are and makes one step; place is
// where a name waits if it takes three. A site that is not held may come between the two:
// then it is looked again.
func (x *exchange) bring(current, side int, name, place string, m *move) error {
	next := forth
	if x.backward {
		next = back
	}
	for rounds := 0; ; rounds++ {
		w, err := x.look(current, side, name, place)
		if err != nil {
			return err
		}
		done := false
		switch next(w, m) {
		case stay:
			return nil
		case lost:
			return errors.New("somebody changed it meanwhile; neither what is to come nor what was there is found")
		case come:
			err = x.disk.rename(side, name, current, name)
		case comeFromBetween:
			err = x.disk.rename(x.between, place, current, name)
		case goAside:
			err = x.disk.rename(current, name, side, name)
		case goAsideFromBetween:
			err = x.disk.rename(x.between, place, side, name)
		case changePlaces:
			if done, err = x.disk.exchange(current, name, side, name); !done && err == nil {
				err = x.disk.rename(current, name, x.between, place)
			}
		case goAstray:
			err = x.disk.rename(current, name, x.strays, fmt.Sprintf("%s-%d", place, w.there))
		}
		if err != nil && (rounds == mostRounds || err != unix.ENOENT && err != unix.EEXIST) {
			return err
		}
	}
}

const mostRounds = 100

// step is what one rename does.
type step uint8

const (
	stay step = iota
	lost
	come
	comeFromBetween
	goAside
	goAsideFromBetween
	changePlaces
	goAstray
)

// forth is the next step of a swap. What is to go is what is there by now, also where the
// site has replaced what the plan knows.
func forth(w whereabouts, m *move) step {
	switch {
	case w.there == m.New && w.waiting == 0:
		return stay
	case w.there == m.New:
		return goAsideFromBetween
	case w.there == 0 && w.beside == m.New:
		return come
	case w.there == 0 && w.waiting == m.New:
		return comeFromBetween
	case w.beside == 0 && (m.New == 0 || w.waiting == m.New):
		return goAside
	case w.beside == m.New && w.waiting == 0:
		return changePlaces
	}
	return lost
}

// back is the next step of a revert. What was there is mostly m.Old; but a site that is not
// held may have removed that before it was exchanged, or put something in its place, which
// was exchanged then. A name that was never exchanged is the site's.
func back(w whereabouts, m *move) step {
	var was uint64 // what is to return
	for _, inode := range []uint64{w.waiting, w.beside} {
		if inode != 0 && inode != m.New {
			was = inode
		}
	}
	switch {
	case was == 0 && w.waiting != 0:
		return goAsideFromBetween
	case was == 0 && w.there != 0 && w.there == m.New:
		return goAside
	case was == 0 && (w.there == 0 || w.beside == m.New || m.Old != 0):
		return stay
	case w.there == 0 && w.beside == was:
		return come
	case w.there == 0:
		return comeFromBetween
	case w.there != m.New:
		return goAstray
	case w.waiting == was:
		return goAside
	}
	return changePlaces
}

// inodeOf returns 0 where there is no such name.
func inodeOf(dir int, name string) (uint64, error) {
	st, err := statAt(dir, name)
	if err == unix.ENOENT {
		return 0, nil
	}
	return st.ino, err
}

// attributes gives a directory that stays its new attributes, and the one beside
// it the old; or the other way round.
func (x *exchange) attributes(d *stayer) error {
	current, side, err := x.open(d)
	if err != nil {
		return err
	}
	defer unix.Close(current)
	defer unix.Close(side)
	now, aside := d.New, d.Old
	if x.backward {
		now, aside = d.Old, d.New
	}
	return errors.Join(x.disk.apply(current, now), x.disk.apply(side, aside))
}
