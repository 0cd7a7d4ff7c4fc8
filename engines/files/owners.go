package files

import (
	"os/user"
	"strconv"
	"sync"
)

// owners translates user and group ids and names. Looking one up may ask a
// directory server, so each is asked for once. It may be used from several goroutines.
type owners struct {
	mu     sync.Mutex
	users  map[uint32]string
	groups map[uint32]string
	uids   map[owner]uint32
	gids   map[owner]uint32
}

// owner is how an entry names a user or a group.
type owner struct {
	name   string
	number uint32
}

func newOwners() *owners {
	return &owners{
		users: map[uint32]string{}, groups: map[uint32]string{},
		uids: map[owner]uint32{}, gids: map[owner]uint32{},
	}
}

// user returns the name of uid, or "".
func (o *owners) user(uid uint32) string {
	return remembered(&o.mu, o.users, uid, func() string {
		if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
			return u.Username
		}
		return ""
	})
}

// group returns the name of gid, or "".
func (o *owners) group(gid uint32) string {
	return remembered(&o.mu, o.groups, gid, func() string {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10)); err == nil {
			return g.Name
		}
		return ""
	})
}

// lastOwner remembers whom it was asked about last: mostly a directory's files
// belong to one user. It is for one goroutine.
type lastOwner struct {
	owners      *owners
	known       bool
	uid, gid    uint32
	user, group string
}

// names returns the names of uid and gid, or "".
func (l *lastOwner) names(uid, gid uint32) (user, group string) {
	if !l.known || uid != l.uid || gid != l.gid {
		l.known, l.uid, l.gid = true, uid, gid
		l.user, l.group = l.owners.user(uid), l.owners.group(gid)
	}
	return l.user, l.group
}

// uid returns the id that name has here, or else the one it had where the file
// came from: a file of www-data belongs to www-data wherever it is restored.
func (o *owners) uid(name string, number uint32) uint32 {
	if name == "" || number == 0 {
		return number
	}
	return remembered(&o.mu, o.uids, owner{name, number}, func() uint32 {
		if u, err := user.Lookup(name); err == nil {
			return parseID(u.Uid, number)
		}
		return number
	})
}

// gid is uid for groups.
func (o *owners) gid(name string, number uint32) uint32 {
	if name == "" || number == 0 {
		return number
	}
	return remembered(&o.mu, o.gids, owner{name, number}, func() uint32 {
		if g, err := user.LookupGroup(name); err == nil {
			return parseID(g.Gid, number)
		}
		return number
	})
}

func parseID(s string, otherwise uint32) uint32 {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n)
	}
	return otherwise
}

func remembered[K comparable, V any](mu *sync.Mutex, known map[K]V, key K, ask func() V) V {
	mu.Lock()
	defer mu.Unlock()
	v, ok := known[key]
	if !ok {
		v = ask()
		known[key] = v
	}
	return v
}
