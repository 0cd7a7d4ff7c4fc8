package repo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"holdfast/internal/seal"
)

// ErrStaleKey: the slot in use was written before a rotation, so it cannot begin
// the next.
var ErrStaleKey = errors.New("the key slot in use was written before the keys were rotated: open the repository by one that was written afterwards")

// ErrRotating: another rotation was faster.
var ErrRotating = errors.New("the keys are being rotated by another process: look at the key slots, and try again")

// epochRecord is the object epochs/NUMBER: it says that this epoch's key was drawn.
// So one number never stands for two keys; the key itself is in the slots.
type epochRecord struct {
	At time.Time `cbor:"1,keyasint"`
}

const epochsFolder = "epochs"

func epochObject(n uint32) string { return fmt.Sprintf("%s/%08d", epochsFolder, n) }

// RotateKeys begins a new epoch of sealing keys: what is written from now on, by
// whoever opens a slot that knows it, is sealed under a new key. Packs are not
// rewritten, and what was written before is as well protected as it was. The
// secret's slot is replaced; the other slots open what was written before and nothing
// else, and must be added anew. It returns the new slot.
func (r *Repository) RotateKeys(ctx context.Context, secret Secret, cost seal.Cost, now time.Time) (slot string, err error) {
	keys, err := r.Keys(ctx)
	if err != nil {
		return "", err
	}
	newest := r.keys.Newest()
	if slices.ContainsFunc(keys, func(k Key) bool { return k.Epochs > newest }) {
		return "", ErrStaleKey
	}
	label := ""
	if current, err := r.SlotOf(ctx, secret); err != nil {
		return "", err
	} else if i := slices.IndexFunc(keys, func(k Key) bool { return k.Slot == current }); i >= 0 {
		label = keys[i].Label
	}
	number, err := r.drawEpoch(ctx, now)
	if err != nil {
		return "", err
	}
	slot = r.nextSlot(newest)
	if err := r.isNewest(ctx, newest, slot); err != nil {
		return "", err
	}
	root := *r.root
	root.Epochs = slices.Clone(r.root.Epochs)
	for uint32(len(root.Epochs)) < number { // those in between belong to rotations that were killed
		if err := root.AddEpoch(r.random); err != nil {
			return "", err
		}
	}
	err = r.addKeyTo(ctx, slot, &root, secret, Slot{Label: label, Cost: cost, Now: now})
	if errors.Is(err, fs.ErrExist) {
		return "", ErrRotating
	}
	if err != nil {
		return "", err
	}
	// While this process slept the name may have been used and removed.
	if err = r.isNewest(ctx, newest, slot); errors.Is(err, ErrRotating) {
		err = errors.Join(err, r.store.Delete(ctx, "keys/"+slot))
	}
	if err != nil {
		return "", err
	}
	if err := r.removeOlder(ctx, secret, number); err != nil {
		return "", err
	}
	r.root, r.keys = &root, seal.NewKeys(&root, r.random)
	return slot, nil
}

// nextSlot is the name of the slot with which a rotation of keys whose newest epoch is
// this one puts them into use. All have the same, so that one is first before anybody
// can open a slot of the others: what was sealed by it in between, nobody could read.
func (r *Repository) nextSlot(newest uint32) string {
	id := r.sum(fmt.Appendf(nil, "rotate\x00%d", newest))
	return hex.EncodeToString(id[:16])
}

// isNewest is ErrRotating if another slot than this one knows epochs after the newest.
func (r *Repository) isNewest(ctx context.Context, newest uint32, slot string) error {
	keys, err := r.Keys(ctx)
	if err == nil && slices.ContainsFunc(keys, func(k Key) bool { return k.Epochs > newest && k.Slot != slot }) {
		err = ErrRotating
	}
	return err
}

// drawEpoch takes the next number.
func (r *Repository) drawEpoch(ctx context.Context, now time.Time) (uint32, error) {
	latest, err := r.latestEpoch(ctx)
	if err != nil {
		return 0, err
	}
	number := max(latest, r.keys.Newest()) + 1
	err = r.create(ctx, seal.Setting, epochObject(number), epochRecord{now.UTC()})
	if errors.Is(err, fs.ErrExist) {
		return 0, ErrRotating
	}
	return number, err
}

// RenewEpoch puts the record of an epoch once more, after a damaged one was set aside. It
// does nothing where the object is none.
func (r *Repository) RenewEpoch(ctx context.Context, object string, now time.Time) error {
	n := uint32(0)
	if _, err := fmt.Sscanf(object, epochsFolder+"/%08d", &n); err != nil || object != epochObject(n) {
		return nil
	}
	err := r.create(ctx, seal.Setting, object, epochRecord{now.UTC()})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (r *Repository) latestEpoch(ctx context.Context) (latest uint32, err error) {
	for info, err := range r.store.List(ctx, epochsFolder) {
		if err != nil {
			return 0, fmt.Errorf("list epochs: %w", err)
		}
		n := uint32(0)
		if _, err := fmt.Sscanf(info.Name, epochsFolder+"/%08d", &n); err == nil && info.Name == epochObject(n) {
			latest = max(latest, n)
		}
	}
	return latest, nil
}

// NeedNewestKeys is an *seal.EpochError where the keys were rotated since the slot in use
// was written: what would be stored with it, old slots could open. A slot that is
// damaged tells nothing.
func (r *Repository) NeedNewestKeys(ctx context.Context) error {
	newest := Key{SlotInfo: seal.SlotInfo{Epochs: r.keys.Newest()}}
	keys, err := r.Keys(ctx)
	if err != nil && !isDamage(err) {
		return err
	}
	if !newest.Stale(keys) {
		return nil
	}
	latest, err := r.latestEpoch(ctx)
	if err == nil && latest > newest.Epochs {
		return fmt.Errorf("the repository: %w", &seal.EpochError{Epoch: latest, Newest: newest.Epochs})
	}
	return err
}

// isDrawn reports whether an epoch has been drawn, as far as its record or a key slot
// tells. Where that cannot be told, it has.
func (r *Repository) isDrawn(ctx context.Context, epoch uint32) bool {
	latest, err := r.latestEpoch(ctx)
	if err != nil || epoch <= latest {
		return true
	}
	keys, err := r.Keys(ctx)
	return err != nil || slices.ContainsFunc(keys, func(k Key) bool { return k.Epochs >= epoch })
}

// orDamaged makes damage of an error that says that an object is sealed under newer
// keys, where no rotation has drawn them, or of a later format version, where nobody
// has announced it.
func (r *Repository) orDamaged(ctx context.Context, err error) error {
	if epoch, ok := errors.AsType[*seal.EpochError](err); ok && !r.isDrawn(ctx, epoch.Epoch) {
		return fmt.Errorf("%w: it names the epoch %d, which no rotation of keys has drawn", seal.ErrDamaged, epoch.Epoch)
	}
	return versionOrDamaged(ctx, r.store, err)
}

// removeOlder removes the slots that the secret opens and that do not know the epoch.
func (r *Repository) removeOlder(ctx context.Context, secret Secret, epoch uint32) error {
	all, _, err := candidates(ctx, r.store, r.root.Repository, secret)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Epochs >= epoch {
			continue
		}
		if _, err := openSlot(c.name, c.object, secret); err != nil {
			continue // somebody else's
		}
		if err := r.store.Delete(ctx, "keys/"+c.name); err != nil {
			return err
		}
	}
	return nil
}
