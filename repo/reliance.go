package repo

import (
	"slices"
	"sync"

	"holdfast/index"
	"holdfast/internal/blob"
)

// reliance is what a session may build on. A copy of a blob is sound if
//
//   - its pack was in the storage, as long as it must be, when it was looked for
//     after the session had been announced and had read what is condemned; and it is
//     not condemned. Or the session has written it.
//   - each of its bases has a sound copy of lower depth.
//   - it is not of a blob that was to be read by this process and could not be, or the
//     session has written it since: what is met again then is stored anew.
//
// Such a copy stays for as long as the session lives, whatever is collected
// meanwhile (docs/gc.md, W5). That the index names a copy proves nothing: an entry
// may outlive its pack.
type reliance struct {
	repo    *Repository
	session Name
	packs   [][32]byte // that were there and are not condemned; sorted

	mu    sync.Mutex
	sound map[blob.ID]uint8 // depth of a sound copy; bounded
}

// maxSound bounds reliance.sound; it is about 4 MB.
const maxSound = 1 << 16

// copies returns those of a blob whose packs can be relied on, lowest depth first.
func (a *reliance) copies(id blob.ID) ([]index.Entry, error) {
	all, err := a.repo.Copies(id)
	unreadable := a.repo.unreadable.has(id)
	return slices.DeleteFunc(all, func(e index.Entry) bool {
		return !a.reliable(&e.Pack) || unreadable && e.Pack.Session != a.session
	}), err
}

func (a *reliance) reliable(p *index.Pack) bool {
	if p.Session == a.session {
		return true
	}
	_, found := slices.BinarySearchFunc(a.packs, p.Name, comparePacks)
	return found
}

// has reports whether the blob need not be stored, because a sound copy is there.
func (a *reliance) has(id blob.ID) (bool, error) {
	if known, err := a.repo.has(id); !known || err != nil {
		return false, err
	}
	search := soundings{reliance: a}
	return search.below(id, anyDepth)
}

// soundings is one search for a sound copy.
type soundings struct {
	*reliance
	failed map[blob.ID]int // bounds of depth below which there is none
}

// below reports whether there is a sound copy of a depth below the bound.
func (s *soundings) below(id blob.ID, bound int) (bool, error) {
	if s.remembered(id, bound) {
		return true, nil
	}
	if failed, ok := s.failed[id]; ok && bound <= failed {
		return false, nil
	}
	copies, err := s.copies(id)
	if err != nil {
		return false, err
	}
	for i := range copies {
		if int(copies[i].Depth) >= bound {
			break
		}
		if ok, err := s.based(&copies[i]); ok || err != nil {
			if ok {
				s.remember(id, copies[i].Depth)
			}
			return ok, err
		}
	}
	if s.failed == nil {
		s.failed = map[blob.ID]int{}
	}
	s.failed[id] = bound
	return false, nil
}

func (s *soundings) based(e *index.Entry) (bool, error) {
	for _, base := range e.Bases {
		if ok, err := s.below(base, int(e.Depth)); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (a *reliance) remembered(id blob.ID, bound int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	depth, ok := a.sound[id]
	return ok && int(depth) < bound && !a.repo.unreadable.has(id)
}

func (a *reliance) remember(id blob.ID, depth uint8) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sound == nil || len(a.sound) == maxSound {
		a.sound = map[blob.ID]uint8{}
	}
	a.sound[id] = depth
}
