package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

// maxSlot bounds a key slot's object, in bytes.
const maxSlot = 8 << 20

// Key is one way into the repository.
type Key struct {
	Slot string // 32 hex digits
	seal.SlotInfo
}

// ErrLastKey: removing it would lose everything.
var ErrLastKey = errors.New("the last key cannot be removed: without it nothing could be read again")

// ErrLastNewKey: removing it would lose what was written since a rotation.
var ErrLastNewKey = errors.New("the last key that opens what was written since the keys were rotated cannot be removed; add another one before")

// ErrNoKey: no key slot has that name.
var ErrNoKey = errors.New("no such key")

// AddKey adds a slot that opens with secret and returns its name.
func (r *Repository) AddKey(ctx context.Context, secret Secret, slot Slot) (string, error) {
	return r.addKey(ctx, secret, slot)
}

func (r *Repository) addKey(ctx context.Context, secret Secret, slot Slot) (string, error) {
	name, err := r.randomHex(16)
	if err != nil {
		return "", fmt.Errorf("draw the name of a key slot: %w", err)
	}
	return name, r.addKeyTo(ctx, name, r.root, secret, slot)
}

// addKeyTo adds a slot of a name that opens to a root record; fs.ErrExist if the name is
// taken.
func (r *Repository) addKeyTo(ctx context.Context, name string, root *seal.Root, secret Secret, slot Slot) error {
	var object []byte
	var err error
	if secret.Token != nil {
		object, err = seal.SealToken(root, name, slot.Label, *secret.Token, slot.Now, r.random)
	} else {
		if slot.Cost == (seal.Cost{}) {
			slot.Cost = seal.DefaultCost
		}
		object, err = seal.SealPassword(root, name, slot.Label, secret.Password, slot.Cost, slot.Now, r.random)
	}
	if err != nil {
		return fmt.Errorf("make a key slot: %w", err)
	}
	return r.store.Put(ctx, "keys/"+name, object)
}

// Stale reports whether k was written before the keys were rotated: it opens only
// what was written before, too.
func (k Key) Stale(all []Key) bool {
	return slices.ContainsFunc(all, func(other Key) bool { return other.Epochs > k.Epochs })
}

// Keys lists the slots, oldest first. It needs no secret of theirs.
func (r *Repository) Keys(ctx context.Context) ([]Key, error) {
	keys, err := slots(ctx, r.store, r.root.Repository)
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Slot, b.Slot))
	})
	return keys, err
}

// RemoveKey removes a slot. Whoever has read the root record with it before
// still has it; and the last one stays, and the last one of the newest epoch.
func (r *Repository) RemoveKey(ctx context.Context, slot string) error {
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.Slot == slot })
	if at < 0 {
		return fmt.Errorf("key %s: %w", slot, ErrNoKey)
	}
	known := keys[at].Epochs
	if err := replaces(slices.Delete(keys, at, at+1), known); err != nil {
		return err
	}
	object, err := readSlot(ctx, r.store, "keys/"+slot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody has removed it
	}
	if err == nil {
		err = r.store.Delete(ctx, "keys/"+slot)
	}
	if err != nil {
		return err
	}
	// Somebody else may have removed the others meanwhile, relying on this one.
	if keys, err = r.Keys(ctx); err == nil {
		err = replaces(keys, known)
	}
	if err != nil {
		err = errors.Join(err, r.store.Put(ctx, "keys/"+slot, object))
	}
	return err
}

// replaces is an error where what a slot of so many epochs opens, none of these slots does.
func replaces(keys []Key, epochs uint32) error {
	switch {
	case len(keys) == 0:
		return ErrLastKey
	case !slices.ContainsFunc(keys, func(k Key) bool { return k.Epochs >= epochs }):
		return ErrLastNewKey
	}
	return nil
}

// RemoveKeysOf removes the slots that a secret opens, but one: a rotation that was killed
// has left two.
func (r *Repository) RemoveKeysOf(ctx context.Context, secret Secret, but string) error {
	all, _, err := candidates(ctx, r.store, r.root.Repository, secret)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.name == but {
			continue
		}
		if _, err := openSlot(c.name, c.object, secret); err != nil {
			continue // somebody else's
		}
		if err := r.RemoveKey(ctx, c.name); err != nil {
			return err
		}
	}
	return nil
}

// SlotOf returns the slot that a secret opens: ErrWrongSecret if none does.
func (r *Repository) SlotOf(ctx context.Context, secret Secret) (string, error) {
	slot, _, err := findSlot(ctx, r.store, r.root.Repository, secret)
	return slot, err
}

// slots reads the repository's key slots; a slot of another id is what a killed
// Init left behind.
func slots(ctx context.Context, store storage.Storage, id seal.RepositoryID) ([]Key, error) {
	var keys []Key
	for info, err := range store.List(ctx, "keys") {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		object, err := readSlot(ctx, store, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		slot, err := seal.ParseSlot(object)
		if err != nil {
			return nil, &DamagedError{Object: info.Name, Err: versionOrDamaged(ctx, store, err)}
		}
		if slot.Repository == id {
			keys = append(keys, Key{strings.TrimPrefix(info.Name, "keys/"), slot})
		}
	}
	return keys, nil
}

// readSlot reads a slot's object. One that cannot be a slot's, or that the disk does not
// read, is damaged.
func readSlot(ctx context.Context, store storage.Storage, object string) ([]byte, error) {
	data, err := storage.ReadAll(ctx, store, object, maxSlot)
	if errors.Is(err, storage.ErrUnreadable) || errors.Is(err, storage.ErrTooLong) {
		err = &DamagedError{Object: object, Err: err}
	}
	return data, err
}

func unlock(ctx context.Context, store storage.Storage, id seal.RepositoryID, secret Secret) (*seal.Root, error) {
	_, root, err := findSlot(ctx, store, id, secret)
	return root, err
}

// candidate is a slot that a secret may open.
type candidate struct {
	name   string
	object []byte
	seal.SlotInfo
}

// findSlot finds the slot that a secret opens. Where none does and others have come or
// gone meanwhile, it looks again: a rotation may have put one in the place of another.
func findSlot(ctx context.Context, store storage.Storage, id seal.RepositoryID, secret Secret) (slot string, root *seal.Root, err error) {
	for n := 1; ; n++ {
		before, unlisted := slotNames(ctx, store)
		if unlisted != nil {
			return "", nil, unlisted
		}
		if slot, root, err = trySlots(ctx, store, id, secret); err == nil || n == maxListings {
			return slot, root, err
		}
		after, unlisted := slotNames(ctx, store)
		if unlisted != nil || slices.Equal(before, after) {
			return "", nil, errors.Join(err, unlisted)
		}
	}
}

func slotNames(ctx context.Context, store storage.Storage) (names []string, err error) {
	for info, err := range store.List(ctx, "keys") {
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		names = append(names, info.Name)
	}
	return names, nil
}

// trySlots tries every slot of the secret's kind, those with the most epochs first:
// a rotation that was killed leaves two for one secret. A slot that cannot be read
// does not keep another one from opening; it is named when none does, and where
// none could be tried the secret may be right. ErrNoSlot if there is none of any kind.
func trySlots(ctx context.Context, store storage.Storage, id seal.RepositoryID, secret Secret) (string, *seal.Root, error) {
	candidates, unread, err := candidates(ctx, store, id, secret)
	if err != nil {
		return "", nil, err
	}
	var wrong error
	for _, c := range candidates {
		root, err := openSlot(c.name, c.object, secret)
		if err == nil {
			return c.name, root, nil
		}
		if errors.Is(err, seal.ErrWrongKey) {
			wrong = ErrWrongSecret
		} else {
			unread = errors.Join(unread, damagedSlot("keys/"+c.name, err))
		}
	}
	if unread == nil {
		wrong = ErrWrongSecret
	}
	return "", nil, errors.Join(wrong, unread)
}

// candidates returns the slots of the secret's kind, and joins into unread what
// cannot be read. ErrNoSlot if there is no slot of the repository.
func candidates(ctx context.Context, store storage.Storage, id seal.RepositoryID, secret Secret) (all []candidate, unread, err error) {
	obstacles, err := Obstacles(ctx, store, "keys")
	if err != nil {
		return nil, nil, err
	}
	for _, o := range obstacles {
		unread = errors.Join(unread, o)
	}
	some := false
	for info, err := range store.List(ctx, "keys") {
		if err != nil {
			return nil, nil, fmt.Errorf("list keys: %w", err)
		}
		object, err := readSlot(ctx, store, info.Name)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		slot, err := seal.ParseSlot(object)
		if err != nil {
			unread = errors.Join(unread, damagedSlot(info.Name, versionOrDamaged(ctx, store, err)))
			continue
		}
		if slot.Repository != id {
			continue
		}
		some = true
		if (slot.Kind == seal.TokenSlot) == (secret.Token != nil) {
			all = append(all, candidate{strings.TrimPrefix(info.Name, "keys/"), object, slot})
		}
	}
	if !some && unread == nil {
		return nil, nil, ErrNoSlot
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.Epochs, a.Epochs) })
	return all, unread, nil
}

// damagedSlot names a slot; one of a newer format is not damaged.
func damagedSlot(object string, err error) error {
	if errors.Is(err, seal.ErrVersion) {
		return fmt.Errorf("%s: %w", object, err)
	}
	return &DamagedError{Object: object, Err: err}
}

func openSlot(name string, object []byte, secret Secret) (*seal.Root, error) {
	if secret.Token != nil {
		return seal.OpenToken(name, object, *secret.Token)
	}
	return seal.OpenPassword(name, object, secret.Password)
}
