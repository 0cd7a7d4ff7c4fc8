package parity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"holdfast/internal/storage"
)

// mended is where the new bytes of a member wait until the damaged ones are gone: a
// storage never overwrites.
const mended = "mended/"

// maxUnknown bounds what waits there and is in no group any more, in bytes. Only segments of
// the index can be longer, which can be made anew.
const maxUnknown = 1 << 30

// Replace puts the bytes that a member had in place of what is there. Killed
// anywhere, Resume does the rest.
func Replace(ctx context.Context, store storage.Storage, name string, data []byte) error {
	if err := store.Put(ctx, mended+name, data); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := errors.Join(store.Delete(ctx, mended+name), store.Put(ctx, mended+name, data)); err != nil {
			return err
		}
	}
	return finish(ctx, store, name, data)
}

func finish(ctx context.Context, store storage.Storage, name string, data []byte) error {
	err := store.Put(ctx, name, data)
	if errors.Is(err, fs.ErrExist) {
		if err = store.Delete(ctx, name); err == nil {
			err = store.Put(ctx, name, data)
		}
	}
	if err != nil {
		return err
	}
	return store.Delete(ctx, mended+name)
}

// Forget removes what waits to be put in place of an object that is removed on purpose.
func Forget(ctx context.Context, store storage.Storage, name string) error {
	_, err := store.Stat(ctx, mended+name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return store.Delete(ctx, mended+name)
}

// Resume finishes what a killed Replace has begun. Its groups tell whether what
// waits is what it must be. Where they are gone by now, because somebody removed what
// was beside it, proven tells; it may be nil, then that is left: it may be all that
// there is of the object.
func Resume(ctx context.Context, store storage.Storage, proven func(name string, data []byte) bool) error {
	var names []string
	for info, err := range store.List(ctx, strings.TrimSuffix(mended, "/")) {
		if err != nil {
			return fmt.Errorf("list mended objects: %w", err)
		}
		names = append(names, strings.TrimPrefix(info.Name, mended))
	}
	if len(names) == 0 {
		return nil
	}
	covered := map[string]Member{}
	for group, err := range Groups(ctx, store) {
		if err != nil {
			return err
		}
		for _, m := range group.members() {
			covered[m.Name] = m
		}
	}
	for _, name := range names {
		m, known := covered[name]
		most := int64(maxUnknown)
		if known {
			most = m.Size
		}
		data, err := storage.ReadAll(ctx, store, mended+name, most)
		if err != nil && !errors.Is(err, storage.ErrUnreadable) && !errors.Is(err, storage.ErrTooLong) {
			return err
		}
		switch {
		case !known && proven == nil:
			continue
		case known && m.Is(data), !known && proven(name, data):
			err = finish(ctx, store, name, data)
		default:
			err = store.Delete(ctx, mended+name) // torn
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Stored is a group and its object.
type Stored struct {
	*Group // nil if it cannot be read
	Object string
	Size   int64
	Err    error // why it cannot be read
}

// Groups yields all groups of a storage. One that cannot be read, and yields what
// it describes nowhere, comes without a Group. The error is about the listing.
func Groups(ctx context.Context, store storage.Storage) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for info, err := range store.List(ctx, Folder) {
			if err != nil {
				yield(Stored{}, fmt.Errorf("list parity: %w", err))
				return
			}
			s := Stored{Object: info.Name, Size: info.Size}
			s.Group, s.Err = Read(storage.At(ctx, store, info.Name), info.Size)
			switch {
			case errors.Is(s.Err, fs.ErrNotExist):
				continue // replaced meanwhile
			case ctx.Err() != nil:
				yield(s, context.Cause(ctx))
				return
			case s.Err != nil && !errors.Is(s.Err, ErrDamaged):
				yield(s, s.Err)
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (s Stored) members() []Member {
	if s.Group == nil {
		return nil
	}
	return s.Members
}
