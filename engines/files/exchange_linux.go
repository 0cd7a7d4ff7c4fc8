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
		want, other := m.New, m.Old
		if x.backward {
			want, other = m.Old, m.New
		}
		place := fmt.Sprintf("%d-%d", number, i)
		x.chmod(current, side, place, &m, 0o700)
		err := x.bring(current, side, m.Name, place, want, other)
		x.chmod(current, side, place, &m, 0)
		if err != nil {
			return x.wrap(d, m.Name, err)
		}
	}
	return nil
}

func (x *exchange) open(d *stayer) (current, side int, err error) {
	if current, err = openBeneath(x.root, d.Path); err != nil {
		return -1, -1, err
	}
	if side, err = openBeneath(x.side, d.Path); err != nil {
		unix.Close(current)
	}
	return current, side, err
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

// bring makes name, in the directory current, the inode want, and puts other,
// which is or was there, to the side. Each round of the loop looks where things
// are and makes one step; place is where other waits if it takes three.
func (x *exchange) bring(current, side int, name, place string, want, other uint64) error {
	for {
		there, err := inodeOf(current, name)
		if err != nil {
			return err
		}
		beside, err := inodeOf(side, name)
		if err != nil {
			return err
		}
		waiting, err := inodeOf(x.between, place)
		if err != nil {
			return err
		}
		switch {
		case there == want && waiting == 0:
			return nil
		case there == want:
			err = x.disk.rename(x.between, place, side, name)
		case there == 0 && beside == want:
			err = x.disk.rename(side, name, current, name)
		case there == 0 && waiting == want:
			err = x.disk.rename(x.between, place, current, name)
		case there == other && (want == 0 || waiting == want):
			err = x.disk.rename(current, name, side, name)
		case there == other && beside == want:
			var done bool
			if done, err = x.disk.exchange(current, name, side, name); !done && err == nil {
				err = x.disk.rename(current, name, x.between, place)
			}
		case there != 0 && there != other && x.backward:
			err = x.disk.rename(current, name, x.strays, place)
		default:
			return errors.New("somebody changed it meanwhile; neither what is to come nor what was there is found")
		}
		if err != nil {
			return err
		}
	}
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
