package repo

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/storage"
	"holdfast/repo/parity"
)

// pretending is a storage some of whose objects are as they would be, for a dry run.
type pretending struct {
	storage.Storage
	objects map[string][]byte
}

// Pretend returns a storage that has these objects in place of its own.
func Pretend(store storage.Storage, objects map[string][]byte) storage.Storage {
	return &pretending{store, objects}
}

// PretendMended lets this Repository see what parity would put in place of a damaged
// object. It is false where Mend would be. Nobody else may use the Repository
// meanwhile.
func (r *Repository) PretendMended(ctx context.Context, d parity.Damaged) bool {
	if r.verifyObject(ctx, d.Name, d.Data) != nil {
		return false
	}
	p, ok := r.store.Storage.(*pretending)
	if !ok {
		p = &pretending{Storage: r.store.Storage, objects: map[string][]byte{}}
		r.store.Storage = p
	}
	p.objects[d.Name] = d.Data
	return true
}

// ReadAt implements storage.Storage.
func (p *pretending) ReadAt(ctx context.Context, name string, b []byte, off int64) (int, error) {
	data, ok := p.objects[name]
	if !ok {
		return p.Storage.ReadAt(ctx, name, b, off)
	}
	n, err := bytes.NewReader(data).ReadAt(b, off)
	if len(b) == 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Stat implements storage.Storage.
func (p *pretending) Stat(ctx context.Context, name string) (storage.Info, error) {
	if data, ok := p.objects[name]; ok {
		return storage.Info{Name: name, Size: int64(len(data))}, nil
	}
	return p.Storage.Stat(ctx, name)
}

// List implements storage.Storage.
func (p *pretending) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		rest := slices.Sorted(maps.Keys(p.objects))
		rest = slices.DeleteFunc(rest, func(name string) bool { return prefix != "" && !strings.HasPrefix(name, prefix+"/") })
		give := func(before func(string) bool) bool {
			for len(rest) > 0 && before(rest[0]) {
				if !yield(storage.Info{Name: rest[0], Size: int64(len(p.objects[rest[0]]))}, nil) {
					return false
				}
				rest = rest[1:]
			}
			return true
		}
		for info, err := range p.Storage.List(ctx, prefix) {
			if err != nil {
				yield(info, err)
				return
			}
			if !give(func(name string) bool { return name < info.Name }) {
				return
			}
			if _, ours := p.objects[info.Name]; ours {
				continue // comes with the next call of give
			}
			if !yield(info, nil) {
				return
			}
		}
		give(func(string) bool { return true })
	}
}
