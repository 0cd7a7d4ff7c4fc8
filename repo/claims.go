package repo

import (
	"sync"

	"holdfast/internal/blob"
)

// claims decides which of several goroutines that meet the same new blob stores it.
type claims struct {
	known  func(blob.ID) (bool, error)
	shards [64]struct {
		mu  sync.Mutex
		ids map[blob.ID]struct{}
	}
}

// claim reports whether the caller has to store the blob.
func (c *claims) claim(id blob.ID) (bool, error) {
	shard := &c.shards[id[0]&63]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// Under the lock, because forget runs when the index has learnt the blob.
	if known, err := c.known(id); known || err != nil {
		return false, err
	}
	if _, taken := shard.ids[id]; taken {
		return false, nil
	}
	if shard.ids == nil {
		shard.ids = map[blob.ID]struct{}{}
	}
	shard.ids[id] = struct{}{}
	return true, nil
}

// forget drops the claims on blobs that the index knows by now.
func (c *claims) forget(ids []blob.ID) {
	for _, id := range ids {
		shard := &c.shards[id[0]&63]
		shard.mu.Lock()
		delete(shard.ids, id)
		shard.mu.Unlock()
	}
}
