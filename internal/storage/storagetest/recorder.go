package storagetest

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"
	"testing"

	"holdfast/internal/storage"
)

// Recorder records every operation on a storage, and can tell what the storage
// held after each change: what a process that died there leaves behind.
type Recorder struct {
	hooked
	before *Memory

	mu         sync.Mutex
	operations []*Operation
}

// Operation is what was recorded of one call.
type Operation struct {
	Op   Op
	Name string // of a List, its prefix
	Data []byte // of a Put
	Off  int64  // of a ReadAt, as is Len
	Len  int
	Done bool // it has returned
	Err  error
}

// NewRecorder returns a recorder around inner.
func NewRecorder(t testing.TB, inner storage.Storage) *Recorder {
	t.Helper()
	r := &Recorder{before: Copy(t, inner)}
	r.hooked = hooked{inner: inner, hook: r.record}
	return r
}

// Copy returns what s holds, in memory.
func Copy(t testing.TB, s storage.Storage) *Memory {
	t.Helper()
	m := NewMemory()
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := storage.ReadAll(t.Context(), s, info.Name, info.Size)
		if err != nil {
			t.Fatal(err)
		}
		m.objects[info.Name] = data
	}
	return m
}

// record keeps operations in the order in which they began. If one could rely on
// another, because that had returned, it stands after it.
func (r *Recorder) record(_ context.Context, c *Call, do func() error) error {
	o := &Operation{Op: c.Op, Name: c.Name, Data: bytes.Clone(c.Data), Off: c.Off, Len: len(c.P)}
	r.mu.Lock()
	r.operations = append(r.operations, o)
	r.mu.Unlock()
	err := do()
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Done, o.Err = true, err
	return err
}

// Operations returns what was recorded so far of the given kinds.
func (r *Recorder) Operations(ops Op) []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Operation
	for _, o := range r.operations {
		if o.Op&ops != 0 {
			found = append(found, *o)
		}
	}
	return found
}

// Names returns the objects of the operations of the given kinds, in order.
func (r *Recorder) Names(ops Op) []string {
	var names []string
	for _, o := range r.Operations(ops) {
		names = append(names, o.Name)
	}
	return names
}

// Prefixes yields what the storage held when the recording began, and after each
// change that succeeded since, with the number of these changes. The states can
// be changed.
func (r *Recorder) Prefixes() iter.Seq2[int, *Memory] {
	changes := slices.DeleteFunc(r.Operations(Changes), func(o Operation) bool { return !o.Done || o.Err != nil })
	return func(yield func(int, *Memory) bool) {
		state := r.before.Clone()
		if !yield(0, state.Clone()) {
			return
		}
		for i, o := range changes {
			if o.Op == Put {
				state.objects[o.Name] = o.Data
			} else {
				delete(state.objects, o.Name)
			}
			if !yield(i+1, state.Clone()) {
				return
			}
		}
	}
}
