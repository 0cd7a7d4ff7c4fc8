package storagetest

import (
	"context"
	"iter"
	"strings"

	"holdfast/internal/storage"
)

// Op is a kind of operation, or several: Put|Delete.
type Op uint8

// The operations of a storage.
const (
	Put Op = 1 << iota
	ReadAt
	Stat
	List
	Delete
	Write // to a Draft, whose Commit is a Put

	Any     = Put | ReadAt | Stat | List | Delete | Write
	Changes = Put | Delete
)

// String returns the names of the operations.
func (o Op) String() string {
	var names []string
	for i, name := range []string{"put", "read", "stat", "list", "delete", "write"} {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Call is one operation under way.
type Call struct {
	Op   Op
	Name string // of a List its prefix, of a Write the directory
	Data []byte // what Put or Write was given; not to be kept
	P    []byte // what ReadAt was given
	Off  int64
	N    int // what ReadAt returns
}

// hooked lets every operation of a storage pass through one function, which
// calls do to have it done.
type hooked struct {
	inner storage.Storage
	hook  func(ctx context.Context, c *Call, do func() error) error
}

// Put implements storage.Storage.
func (h *hooked) Put(ctx context.Context, name string, data []byte) error {
	return h.hook(ctx, &Call{Op: Put, Name: name, Data: data}, func() error {
		return h.inner.Put(ctx, name, data)
	})
}

// Begin implements storage.Storage.
func (h *hooked) Begin(ctx context.Context, dir string) (storage.Draft, error) {
	if err := check(ctx, Write, dir); err != nil {
		return nil, err
	}
	write := func(ctx context.Context, p []byte, do func() error) error {
		return h.hook(ctx, &Call{Op: Write, Name: dir, Data: p}, do)
	}
	return &draft{dir: dir, write: write, put: h.Put}, nil
}

// ReadAt implements storage.Storage.
func (h *hooked) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c := &Call{Op: ReadAt, Name: name, P: p, Off: off}
	err := h.hook(ctx, c, func() (err error) {
		c.N, err = h.inner.ReadAt(ctx, name, c.P, off)
		return err
	})
	return c.N, err
}

// Stat implements storage.Storage.
func (h *hooked) Stat(ctx context.Context, name string) (info storage.Info, err error) {
	err = h.hook(ctx, &Call{Op: Stat, Name: name}, func() error {
		info, err = h.inner.Stat(ctx, name)
		return err
	})
	return info, err
}

// List implements storage.Storage. The hook is around all that is yielded.
func (h *hooked) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		ended := false
		err := h.hook(ctx, &Call{Op: List, Name: prefix}, func() error {
			for info, err := range h.inner.List(ctx, prefix) {
				if err != nil {
					return err
				}
				if !yield(info, nil) {
					ended = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !ended {
			yield(storage.Info{}, err)
		}
	}
}

// Delete implements storage.Storage.
func (h *hooked) Delete(ctx context.Context, name string) error {
	return h.hook(ctx, &Call{Op: Delete, Name: name}, func() error {
		return h.inner.Delete(ctx, name)
	})
}
