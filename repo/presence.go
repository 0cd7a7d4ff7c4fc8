package repo

import (
	"io"
	"sync/atomic"

	"holdfast/internal/tree"
)

// presence is a place that may hold bytes of a stream already. It is asked by
// several goroutines.
type presence struct {
	at     io.ReaderAt
	misses atomic.Int32 // since it was right
}

// maxMisses is how many blobs in a row may be wrong until nothing more is looked
// for: what was inserted before them has moved all that follows.
const maxMisses = 8

// holds fills buffer with the blob's bytes, if they are there. What is compared
// with the id is what was read: let it change afterwards.
func (p *presence) holds(r *Repository, buffer []byte, place uint64, ref tree.Ref) bool {
	if p == nil || uint64(len(buffer)) != ref.Size || p.misses.Load() >= maxMisses {
		return false
	}
	if n, _ := p.at.ReadAt(buffer, int64(place)); n < len(buffer) || r.sum(buffer) != ref.ID {
		p.misses.Add(1)
		return false
	}
	p.misses.Store(0)
	r.reads.present.Add(ref.Size)
	return true
}
