package files

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// subvolume is a mount that is a whole subvolume of a btrfs. Under the hold it is
// snapshotted, read-only, which takes as long with many files as with few, and what
// changed since Prepare looked is read from there after the release.
//
// The snapshot lies at the top of the mount, for as long as it is needed; whoever
// looks next removes what a killed process has left. Names, inode numbers and times in
// it are those of the mount. Subvolumes further down are not in it.
type subvolume struct {
	mount int    // descriptor, locked (flock) for as long as this is in use
	name  string // of the snapshot; "" while there is none
	root  int    // descriptor of the snapshot
}

// captures begins the names of such snapshots.
const captures = hidden + "-capture-"

// What btrfs gives these things for numbers (linux/btrfs_tree.h).
const (
	firstInode     = 256 // the root of every subvolume
	emptySubvolume = 2   // the directory that stands in a snapshot for another subvolume
)

var errNoSubvolume = errors.New("it is no btrfs subvolume of its own")

// openSubvolume finds out, by doing it, that the mount at root can be snapshotted and
// that this can be undone. It keeps root, which is another descriptor of the caller's.
func openSubvolume(root int) (*subvolume, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(root, &fs); err != nil {
		return nil, err
	}
	if st, err := statAt(root, ""); err != nil || uint32(fs.Type) != unix.BTRFS_SUPER_MAGIC || st.ino != firstInode {
		return nil, errors.Join(errNoSubvolume, err)
	}
	mount, err := openDirectory(root, ".")
	if err != nil {
		return nil, err
	}
	s := &subvolume{mount: mount}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *subvolume) prepare() error {
	if err := unix.Flock(s.mount, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("somebody else keeps it locked: %w", err)
	}
	names, err := readNames(s.mount)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, captures) {
			if err := s.destroy(name); err != nil {
				return fmt.Errorf("remove the snapshot %s that was left: %w", name, err)
			}
		}
	}
	// Both need privileges that only the attempt tells of. It also writes out what is
	// dirty, so that the snapshot that counts need not.
	if err := s.take(); err != nil {
		return err
	}
	return s.drop()
}

// take makes the snapshot.
func (s *subvolume) take() error {
	name := captures + hex.EncodeToString(random())
	if err := s.create(name); err != nil {
		return fmt.Errorf("make a snapshot of it: %w", err)
	}
	root, err := openDirectory(s.mount, name)
	if err != nil {
		return errors.Join(err, s.destroy(name))
	}
	s.name, s.root = name, root
	return nil
}

func random() []byte {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // it never fails
	return b
}

// drop removes the snapshot, if there is one.
func (s *subvolume) drop() error {
	if s.name == "" {
		return nil
	}
	name := s.name
	s.name = ""
	return errors.Join(unix.Close(s.root), s.destroy(name))
}

// close ends the use of the subvolume. It may be nil.
func (s *subvolume) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.drop(), unix.Close(s.mount))
}

// The arguments of the two calls (linux/btrfs.h), and their numbers.
type createArgs struct {
	fd      int64
	transid uint64
	flags   uint64
	unused  [4]uint64
	name    [4040]byte
}

type destroyArgs struct {
	fd   int64
	name [4088]byte
}

const (
	snapCreate   = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2
	snapDestroy  = 0x5000940f // BTRFS_IOC_SNAP_DESTROY
	snapReadOnly = 1 << 1     // BTRFS_SUBVOL_RDONLY
)

func (s *subvolume) create(name string) error {
	args := createArgs{fd: int64(s.mount), flags: snapReadOnly}
	copy(args.name[:], name)
	return s.call(snapCreate, unsafe.Pointer(&args))
}

func (s *subvolume) destroy(name string) error {
	args := destroyArgs{}
	copy(args.name[:], name)
	return s.call(snapDestroy, unsafe.Pointer(&args))
}

// call keeps the times of the mount itself, in which a name comes or goes.
func (s *subvolume) call(request uint, args unsafe.Pointer) error {
	before, err := statAt(s.mount, "")
	if err != nil {
		return err
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.mount), uintptr(request), uintptr(args))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		break
	}
	return setTimes(s.mount, ".", before.mtime)
}

// extend adds to the nodes of what must not be read those that it has in a snapshot.
func (r *rules) extend(mount, root int) error {
	live, err := statAt(mount, "")
	if err != nil {
		return err
	}
	snapshot, err := statAt(root, "")
	if err != nil {
		return err
	}
	var more []node
	for n := range r.nodes {
		if n.dev == live.dev {
			more = append(more, node{snapshot.dev, n.ino})
		}
	}
	for _, n := range more {
		r.nodes[n] = ""
	}
	return nil
}
