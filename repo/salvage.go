package repo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"

	"holdfast/index"
	"holdfast/internal/seal"
	"holdfast/internal/storage"
	"holdfast/repo/pack"
)

// Salvageable is what a pack holds, as far as its own directory or the index
// tells, and its bytes as they are.
type Salvageable struct {
	Entries []index.Entry
	Listed  bool // by the pack's directory, so that nothing can be missing in Entries
	Data    []byte
}

// ReadPack reads a pack that may be damaged. known is what the index says of it.
// One that is not there has no bytes.
func (r *Repository) ReadPack(ctx context.Context, name [32]byte, known []index.Entry) (Salvageable, error) {
	object := pack.ObjectName(name)
	data, err := storage.ReadAll(ctx, r.store, object, 2*pack.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return Salvageable{Entries: known}, nil
	}
	if errors.Is(err, storage.ErrUnreadable) || errors.Is(err, storage.ErrTooLong) {
		data, err = r.readLeft(ctx, object)
	}
	if err != nil {
		return Salvageable{}, err
	}
	s := Salvageable{Entries: known, Data: data}
	if info, placed, err := pack.ReadDirectory(r.keys, object, int64(len(data)), bytesReader(data)); err == nil {
		s.Listed, s.Entries = true, nil
		for _, p := range placed {
			s.Entries = append(s.Entries, entryOf(info, p))
		}
	}
	return s, nil
}

// sector is what a disk fails to read at least, in bytes.
const sector = 4 << 10

// readLeft reads what the medium still yields of a pack, as long as one can be, and zeros
// for the rest.
func (r *Repository) readLeft(ctx context.Context, object string) ([]byte, error) {
	info, err := r.store.Stat(ctx, object)
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(info.Size, pack.MaxSize))
	for off := int64(0); off < int64(len(data)); off += sector {
		part := data[off:min(off+sector, int64(len(data)))]
		_, err := r.store.ReadAt(ctx, object, part, off)
		if errors.Is(err, storage.ErrUnreadable) {
			clear(part)
		} else if err != nil && err != io.EOF {
			return nil, err
		}
	}
	return data, nil
}

// Payload opens the payload of one entry of a pack with these bytes. It does not need
// what a delta is a difference from.
func (r *Repository) Payload(data []byte, e *index.Entry) ([]byte, error) {
	if int64(e.Offset)+int64(e.Sealed) > int64(len(data)) {
		return nil, seal.ErrDamaged
	}
	p, err := r.packs.get(r.keys, &e.Pack)
	if err != nil {
		return nil, err
	}
	return p.cipher.OpenBlob(nil, e.Number, data[e.Offset:][:e.Sealed])
}

// Adopt puts a copy of a blob, as it was packed before, into a new pack.
func (w *Writer) Adopt(ctx context.Context, e *index.Entry, payload []byte) error {
	b := pack.Blob{ID: e.ID, Length: e.Length, Encoding: pack.Encoding(e.Encoding), Depth: e.Depth, Bases: e.Bases}
	return w.packers[contents].add(ctx, b, payload)
}

// aside is where a repair keeps what it could not mend, under the object's own
// name. Nothing reads it.
const aside = "aside/"

// SetAside takes an object out of the way, and keeps its bytes as they are beneath
// aside/. A missing one is no error.
func (r *Repository) SetAside(ctx context.Context, object string) error {
	data, err := storage.ReadAll(ctx, r.store, object, 2*pack.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, storage.ErrUnreadable) || errors.Is(err, storage.ErrTooLong) {
		return r.store.move(ctx, object, aside+object)
	}
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, aside+object, data); err != nil && !errors.Is(err, fs.ErrExist) {
		return err // one that was damaged twice is kept as it was the first time
	}
	return r.store.Delete(ctx, object)
}

// Foreign reports whether what could not be read is of a newer format, or sealed
// under keys that the slot in use does not have: no damage, and nothing to mend.
func Foreign(err error) bool {
	var epoch *seal.EpochError
	return errors.As(err, &epoch) || errors.Is(err, seal.ErrVersion)
}

// UnreadableKeys returns the key slots that cannot be read, with why.
func (r *Repository) UnreadableKeys(ctx context.Context) (map[string]error, error) {
	bad := map[string]error{}
	err := r.eachSlot(ctx, func(name string, _ seal.SlotInfo, err error) {
		if err != nil && !Foreign(versionOrDamaged(ctx, r.store, err)) {
			bad[name] = err
		}
	})
	return bad, err
}

// StrayKeys returns the key slots that say they are of another repository, and open
// nothing here.
func (r *Repository) StrayKeys(ctx context.Context) (stray []string, err error) {
	err = r.eachSlot(ctx, func(name string, slot seal.SlotInfo, err error) {
		if err == nil && slot.Repository != r.root.Repository {
			stray = append(stray, name)
		}
	})
	return stray, err
}

func (r *Repository) eachSlot(ctx context.Context, visit func(name string, slot seal.SlotInfo, err error)) error {
	for info, err := range r.store.List(ctx, "keys") {
		if err != nil {
			return err
		}
		object, err := readSlot(ctx, r.store, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		var slot seal.SlotInfo
		if damaged, is := errors.AsType[*DamagedError](err); is {
			err = damaged.Err
		} else if err != nil {
			return err
		} else {
			slot, err = seal.ParseSlot(object)
		}
		visit(info.Name, slot, err)
	}
	return nil
}

// UnreadableSettings returns the records of how keys and parity were set that cannot be
// read, with why.
func (r *Repository) UnreadableSettings(ctx context.Context) (map[string]error, error) {
	all := map[string]error{}
	for _, folder := range []string{paritySettings, epochsFolder} {
		bad, err := r.Unreadable(ctx, seal.Setting, folder)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, bad)
	}
	return all, nil
}

// Unreadable returns the sealed records of a folder that cannot be read, with why.
func (r *Repository) Unreadable(ctx context.Context, kind seal.Type, folder string) (map[string]error, error) {
	bad := map[string]error{}
	for info, err := range r.store.List(ctx, folder) {
		if err != nil {
			return nil, err
		}
		_, err := r.readSealed(ctx, kind, info.Name)
		if damaged, ok := errors.AsType[*DamagedError](err); ok && !Foreign(err) {
			bad[info.Name] = damaged.Err
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return bad, nil
}
