package storage

import (
	"container/list"
	"io"
	"io/fs"
	"sync"
)

// cache keeps what is costly to open, the least recently used going first. What
// is in use is closed only when its last user has released it. It may be used
// from several goroutines.
type cache[T io.Closer] struct {
	limit int // open values that nobody uses

	mu     sync.Mutex
	open   map[string]*handle[T]
	recent *list.List // of *handle[T], the most recently used first
	closed bool
}

// handle is one open value, in use until released.
type handle[T io.Closer] struct {
	value T
	key   string
	users int
	place *list.Element // nil once it is no longer to be found
}

func newCache[T io.Closer](limit int) *cache[T] {
	return &cache[T]{limit: limit, open: map[string]*handle[T]{}, recent: list.New()}
}

// get returns the value of key, which open makes where there is none. The caller
// releases it.
func (c *cache[T]) get(key string, open func(key string) (T, error)) (*handle[T], error) {
	if h, err := c.find(key); h != nil || err != nil {
		return h, err
	}
	// Not under the lock: to open a directory takes an fsync.
	value, err := open(key)
	if err != nil {
		return nil, err
	}
	h, err := c.find(key)
	if h != nil || err != nil {
		_ = value.Close() // somebody was quicker
		return h, err
	}
	return c.add(key, value)
}

// find returns nil where key is not open.
func (c *cache[T]) find(key string) (*handle[T], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fs.ErrClosed
	}
	h := c.open[key]
	if h != nil {
		h.users++
		c.recent.MoveToFront(h.place)
	}
	return h, nil
}

func (c *cache[T]) add(key string, value T) (*handle[T], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = value.Close()
		return nil, fs.ErrClosed
	}
	c.forget(c.open[key])
	h := &handle[T]{value: value, key: key, users: 1}
	h.place = c.recent.PushFront(h)
	c.open[key] = h
	for c.recent.Len() > c.limit {
		c.forget(c.recent.Back().Value.(*handle[T]))
	}
	return h, nil
}

// forget takes h out of what can be found, and closes it unless it is in use.
func (c *cache[T]) forget(h *handle[T]) {
	if h == nil || h.place == nil {
		return
	}
	c.recent.Remove(h.place)
	delete(c.open, h.key)
	h.place = nil
	if h.users == 0 {
		_ = h.value.Close() // only read from, or a directory: nothing can be lost
	}
}

func (c *cache[T]) release(h *handle[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.users--
	if h.users == 0 && h.place == nil {
		_ = h.value.Close()
	}
}

// drop makes the next get of key open it anew.
func (c *cache[T]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(c.open[key])
}

// close closes everything, what is in use as soon as it is released.
func (c *cache[T]) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.recent.Len() > 0 {
		c.forget(c.recent.Back().Value.(*handle[T]))
	}
}
