package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

// The reserve lets a storage that is full to the last byte be collected. Nothing is
// deleted before some records were written (a session, marks, a list of what is
// condemned), and before what is needed of a pack was copied out. So some objects hold
// nothing, and are removed when there is no room for that.
const (
	reserveFolder = "reserve"
	reserveUnit   = 256 << 10 // bytes of each object
	maxReserve    = 256       // objects
)

// reserveFor returns how many objects befit so many bytes of packs. A condemned pack
// takes 32 bytes in each of three lists, a mark takes a block. A pack of 8 MiB that is
// to be copied is room enough for the next ones; small repositories rely on their
// having small packs.
func reserveFor(stored uint64) uint64 {
	records, copies := 4+stored/(8<<30), stored/(32<<20)
	return min(records+min(copies, 8<<20/reserveUnit), maxReserve)
}

func reserveObject(n uint64) string { return fmt.Sprintf("%s/%08d", reserveFolder, n) }

// Replenish makes the reserve as large as befits so many bytes of packs, as far as
// there is room.
func (r *Repository) Replenish(ctx context.Context, stored uint64) error {
	numbers, err := r.reserve(ctx)
	if err != nil {
		return err
	}
	last := uint64(0)
	for _, n := range numbers {
		last = max(last, n)
	}
	for missing := reserveFor(stored); missing > uint64(len(numbers)); missing-- {
		last++
		noise := make([]byte, reserveUnit) // what a file system could not compress away
		if _, err := io.ReadFull(r.random, noise); err != nil {
			return err
		}
		switch err := r.store.Put(ctx, reserveObject(last), noise); {
		case errors.Is(err, storage.ErrFull):
			return nil
		case err != nil && !errors.Is(err, storage.ErrExist): // somebody else does the same
			return err
		}
	}
	return nil
}

func (r *Repository) reserve(ctx context.Context) (numbers []uint64, err error) {
	for info, err := range r.store.List(ctx, reserveFolder) {
		if err != nil {
			return nil, fmt.Errorf("list the reserve: %w", err)
		}
		if n, err := strconv.ParseUint(strings.TrimPrefix(info.Name, reserveFolder+"/"), 10, 32); err == nil && info.Name == reserveObject(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// SpendReserve removes the reserve, but for what records need, and returns how many
// bytes that has made room for.
func (r *Repository) SpendReserve(ctx context.Context) (room uint64, err error) {
	numbers, err := r.reserve(ctx)
	for i := 0; i < len(numbers)-1 && err == nil; i++ {
		if err = r.store.Delete(ctx, reserveObject(numbers[i])); err == nil {
			room += reserveUnit
		}
	}
	return room, err
}

// spareAll is create for what is needed before space can be given back: where there
// is no room it is made from the reserve.
func (r *Repository) spareAll(ctx context.Context, kind seal.Type, object string, record any) error {
	return r.spare(ctx, 0, kind, object, record)
}

// spare is spareAll, and leaves so many objects of the reserve.
func (r *Repository) spare(ctx context.Context, leave int, kind seal.Type, object string, record any) error {
	plain, err := encoding.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode %s: %w", object, err)
	}
	sealed, err := r.keys.Seal(kind, object, plain)
	if err != nil {
		return fmt.Errorf("seal %s: %w", object, err)
	}
	for {
		full := r.store.Put(ctx, object, sealed)
		if !errors.Is(full, storage.ErrFull) {
			return full
		}
		numbers, err := r.reserve(ctx)
		if err != nil || len(numbers) <= leave {
			return errors.Join(full, err)
		}
		if err := r.store.Delete(ctx, reserveObject(numbers[0])); err != nil {
			return errors.Join(full, err)
		}
	}
}
