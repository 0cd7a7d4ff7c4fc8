// Package storagetest tests storages and what is built on them: a conformance
// suite (Run), a storage in memory (Memory), and wrappers that record (Recorder),
// fail (Faulty) and lose power (Crash). Each is itself a storage.Storage that
// passes the suite, so they can be put around each other:
//
//	Recorder -> Faulty -> Memory
package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/storage"
)

// Memory is a Storage in memory.
type Memory struct {
	mu      sync.RWMutex
	objects map[string][]byte // the slices are never changed
	sorted  []string          // their names, never changed; nil: to be sorted again
}

// NewMemory returns an empty storage.
func NewMemory() *Memory { return &Memory{objects: map[string][]byte{}} }

// Clone returns a storage that holds what m holds now.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Memory{objects: maps.Clone(m.objects), sorted: m.sorted}
}

// Names returns the names of all objects, sorted.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.names())
}

// names needs mu.
func (m *Memory) names() []string {
	if m.sorted == nil {
		m.sorted = slices.Sorted(maps.Keys(m.objects))
	}
	return m.sorted
}

// Size returns the number of bytes in all objects.
func (m *Memory) Size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var n int64
	for _, data := range m.objects {
		n += int64(len(data))
	}
	return n
}

// Object returns a copy of one object, and false where there is none.
func (m *Memory) Object(name string) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, ok := m.objects[name]
	return bytes.Clone(data), ok
}

// Replace puts data in place of what is there: damage, which no user of a
// storage can do.
func (m *Memory) Replace(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name], m.sorted = bytes.Clone(data), nil
}

// Put implements storage.Storage.
func (m *Memory) Put(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, Put, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.objects[name]; ok {
		if bytes.Equal(old, data) {
			return nil
		}
		return failed(Put, name, storage.ErrExist)
	}
	m.objects[name], m.sorted = append([]byte{}, data...), nil
	return nil
}

// Begin implements storage.Storage.
func (m *Memory) Begin(ctx context.Context, dir string) (storage.Draft, error) {
	if err := check(ctx, Write, dir); err != nil {
		return nil, err
	}
	write := func(_ context.Context, _ []byte, do func() error) error { return do() }
	return &draft{dir: dir, write: write, put: m.Put}, nil
}

// ReadAt implements storage.Storage.
func (m *Memory) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	data, err := m.find(ctx, ReadAt, name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, failed(ReadAt, name, fmt.Errorf("negative offset %d", off))
	}
	n, err := bytes.NewReader(data).ReadAt(p, off)
	if len(p) == 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Stat implements storage.Storage.
func (m *Memory) Stat(ctx context.Context, name string) (storage.Info, error) {
	data, err := m.find(ctx, Stat, name)
	if err != nil {
		return storage.Info{}, err
	}
	return storage.Info{Name: name, Size: int64(len(data))}, nil
}

func (m *Memory) find(ctx context.Context, op Op, name string) ([]byte, error) {
	if err := check(ctx, op, name); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, ok := m.objects[name]
	if !ok {
		return nil, failed(op, name, fs.ErrNotExist)
	}
	return data, nil
}

// List implements storage.Storage. It yields what was there when it began.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if prefix != "" && !storage.ValidName(prefix) {
			yield(storage.Info{}, failed(List, prefix, fs.ErrInvalid))
			return
		}
		for _, info := range m.under(prefix) {
			if err := context.Cause(ctx); err != nil {
				yield(storage.Info{}, failed(List, prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *Memory) under(prefix string) (infos []storage.Info) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names, folder := m.names(), ""
	if prefix != "" {
		folder = prefix + "/"
	}
	first, _ := slices.BinarySearch(names, folder)
	for _, name := range names[first:] {
		if !strings.HasPrefix(name, folder) {
			break
		}
		infos = append(infos, storage.Info{Name: name, Size: int64(len(m.objects[name]))})
	}
	return infos
}

// Delete implements storage.Storage.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := check(ctx, Delete, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	m.sorted = nil
	return nil
}

func check(ctx context.Context, op Op, name string) error {
	if !storage.ValidName(name) {
		return failed(op, name, fs.ErrInvalid)
	}
	if err := context.Cause(ctx); err != nil {
		return failed(op, name, err)
	}
	return nil
}

func failed(op Op, name string, err error) error {
	return &fs.PathError{Op: op.String(), Path: name, Err: err}
}
