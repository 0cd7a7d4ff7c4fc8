package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/fxamacker/cbor/v2"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

// maxRecord bounds a sealed record, snapshots included, in bytes.
const maxRecord = 16 << 20

var (
	encoding = must(cbor.EncOptions{
		Sort: cbor.SortCanonical, String: cbor.StringToByteString, Time: cbor.TimeRFC3339Nano,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		ByteStringToString: cbor.ByteStringToStringAllowed, ByteStringToTime: cbor.ByteStringToTimeAllowed, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels: 16, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 10,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("repo: CBOR options: " + err.Error())
	}
	return mode
}

func decode(data []byte, into any) error { return decoding.Unmarshal(data, into) }

// create seals a record and creates its object; fs.ErrExist if the name is taken.
func (r *Repository) create(ctx context.Context, kind seal.Type, object string, record any) error {
	plain, err := encoding.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode %s: %w", object, err)
	}
	return r.createSealed(ctx, kind, object, plain)
}

func (r *Repository) createSealed(ctx context.Context, kind seal.Type, object string, plain []byte) error {
	sealed, err := r.keys.Seal(kind, object, plain)
	if err != nil {
		return fmt.Errorf("seal %s: %w", object, err)
	}
	return r.store.Put(ctx, object, sealed)
}

// read opens a sealed record into a value.
func (r *Repository) read(ctx context.Context, kind seal.Type, object string, into any) error {
	plain, err := r.readSealed(ctx, kind, object)
	if err != nil {
		return err
	}
	if err := decode(plain, into); err != nil {
		return &DamagedError{Object: object, Err: err}
	}
	return nil
}

func (r *Repository) readSealed(ctx context.Context, kind seal.Type, object string) ([]byte, error) {
	info, err := r.store.Stat(ctx, object)
	if err != nil {
		return nil, err
	}
	if info.Size > maxRecord {
		return nil, &DamagedError{Object: object, Err: fmt.Errorf("%d bytes, more than the %d it can have", info.Size, maxRecord)}
	}
	return r.readWhole(ctx, kind, object, info.Size)
}

// readWhole opens an object of a known size.
func (r *Repository) readWhole(ctx context.Context, kind seal.Type, object string, size int64) ([]byte, error) {
	sealed := make([]byte, size)
	if _, err := r.store.ReadAt(ctx, object, sealed, 0); err != nil && (err != io.EOF || size > 0) {
		if errors.Is(err, storage.ErrUnreadable) {
			err = &DamagedError{Object: object, Err: err}
		}
		return nil, err
	}
	plain, err := r.keys.Open(kind, object, sealed)
	if err != nil {
		return nil, &DamagedError{Object: object, Err: r.orDamaged(ctx, err)}
	}
	return plain, nil
}

// Objects gives the running of operations (leases, activities) a place for
// sealed records of one type.
type Objects struct {
	repo *Repository
	kind seal.Type
}

// Leases are the objects under leases/.
func (r *Repository) Leases() Objects { return Objects{r, seal.Lease} }

// Activities are the objects under activities/.
func (r *Repository) Activities() Objects { return Objects{r, seal.Activity} }

// Create creates an object; fs.ErrExist if the name is taken.
func (o Objects) Create(ctx context.Context, name string, data []byte) error {
	return o.repo.createSealed(ctx, o.kind, name, data)
}

// Read reads one; fs.ErrNotExist if there is none.
func (o Objects) Read(ctx context.Context, name string) ([]byte, error) {
	return o.repo.readSealed(ctx, o.kind, name)
}

// List yields the names that begin with prefix + "/", in order.
func (o Objects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range o.repo.store.List(ctx, prefix) {
			if !yield(info.Name, err) {
				return
			}
		}
	}
}

// Remove removes one; a missing one is no error.
func (o Objects) Remove(ctx context.Context, name string) error {
	return o.repo.store.Delete(ctx, name)
}
