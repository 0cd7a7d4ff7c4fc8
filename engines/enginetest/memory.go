// Package enginetest tests engines: a Sink in memory, and the conformance suite
// that every engine runs against its real server.
package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/tree"
)

// Memory is an engines.Sink and engines.Content that keeps every stream whole.
// Use it as the sink of one Source, then as the Content of a Target; Next turns
// it into the sink of the following day.
type Memory struct {
	mu      sync.Mutex
	blobs   map[blob.ID][]byte
	parent  []tree.Entry
	hasher  *blob.Hasher
	Read    int64        // bytes taken through Put
	Kept    []tree.Entry // what Keep was told
	Visited []string     // names of what Put was given
}

// NewMemory returns an empty sink without a parent snapshot.
func NewMemory() *Memory {
	return &Memory{blobs: map[blob.ID][]byte{}, hasher: blob.NewHasher(blob.Key{1})}
}

// Next returns a sink that holds all that m holds and has parent as its parent snapshot.
func (m *Memory) Next(parent []tree.Entry) *Memory {
	next := NewMemory()
	next.blobs, next.parent = m.blobs, parent
	return next
}

// Parent implements engines.Sink.
func (m *Memory) Parent(name string) (tree.Entry, bool) {
	for _, e := range m.parent {
		if e.Name == name {
			return e, true
		}
	}
	return tree.Entry{}, false
}

func (m *Memory) store(data []byte) tree.Stream {
	if len(data) == 0 {
		return tree.Stream{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.hasher.ID(data)
	m.blobs[id] = data
	return tree.Stream{Refs: []tree.Ref{{ID: id, Size: uint64(len(data))}}}
}

func (m *Memory) load(s tree.Stream) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []byte
	for _, r := range s.Refs {
		data, ok := m.blobs[r.ID]
		if !ok {
			return nil, fmt.Errorf("blob %s is not in memory", r.ID.Short())
		}
		out = append(out, data...)
	}
	return out, nil
}

// Put implements engines.Sink.
func (m *Memory) Put(ctx context.Context, e tree.Entry, _ tree.Stream, content io.Reader) (tree.Entry, error) {
	data, err := io.ReadAll(content)
	if err != nil {
		return e, err
	}
	e.Content = m.store(data)
	if len(e.Holes) == 0 {
		e.Size = uint64(len(data))
	}
	m.mu.Lock()
	m.Read += int64(len(data))
	m.Visited = append(m.Visited, e.Name)
	m.mu.Unlock()
	return e, context.Cause(ctx)
}

// Join implements engines.Sink.
func (m *Memory) Join(_ context.Context, e tree.Entry, parts ...tree.Stream) (tree.Entry, error) {
	e.Content, e.Size = tree.Stream{}, 0
	for _, p := range parts {
		e.Content.Refs = append(e.Content.Refs, p.Refs...)
		e.Size += p.Size()
	}
	return e, nil
}

// PutDirectory implements engines.Sink.
func (m *Memory) PutDirectory(_ context.Context, e tree.Entry, _ tree.Stream, children iter.Seq2[tree.Entry, error]) (tree.Entry, error) {
	var listing []byte
	e.Size, e.Entries = 0, 0
	for child, err := range children {
		if err != nil {
			return e, err
		}
		if listing, err = tree.AppendEntry(listing, &child); err != nil {
			return e, err
		}
		e.Size += child.Size
		e.Entries += 1 + child.Entries
	}
	e.Content = m.store(listing)
	return e, nil
}

// Keep implements engines.Sink.
func (m *Memory) Keep(e tree.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Kept = append(m.Kept, e)
}

// Children implements engines.Content.
func (m *Memory) Children(_ context.Context, directory tree.Entry) iter.Seq2[tree.Entry, error] {
	data, err := m.load(directory.Content)
	if err != nil {
		return func(yield func(tree.Entry, error) bool) { yield(tree.Entry{}, err) }
	}
	return tree.Entries(bytes.NewReader(data))
}

// Open implements engines.Content.
func (m *Memory) Open(_ context.Context, file tree.Entry) io.ReadCloser {
	data, err := m.load(file.Content)
	if err != nil {
		return io.NopCloser(errorReader{err})
	}
	return io.NopCloser(bytes.NewReader(data))
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// File returns the whole content of the file at path, whose first element is
// the name of one of entries.
func (m *Memory) File(ctx context.Context, entries []tree.Entry, path string) ([]byte, error) {
	name, rest, deeper := strings.Cut(path, "/")
	at := slices.IndexFunc(entries, func(e tree.Entry) bool { return e.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("%s: no such entry", name)
	}
	if !deeper {
		return io.ReadAll(tree.FillHoles(entries[at], m.Open(ctx, entries[at])))
	}
	var children []tree.Entry
	for child, err := range m.Children(ctx, entries[at]) {
		if err != nil {
			return nil, err
		}
		children = append(children, child)
	}
	return m.File(ctx, children, rest)
}
