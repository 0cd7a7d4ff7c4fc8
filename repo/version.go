package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"holdfast/internal/seal"
	"holdfast/internal/storage"
)

// versionObject is created, empty, before the first object of a format version above
// 1 is (docs/format.md, section 1). So whoever knows version 1 only can tell what a
// newer program has written from a flipped bit.
func versionObject(version uint8) string { return fmt.Sprintf("versions/%03d", version) }

// versionOrDamaged makes damage of an error that says that an object is of a later
// format version, where nobody has announced that one. Where that cannot be told, it
// may have been.
func versionOrDamaged(ctx context.Context, store storage.Storage, err error) error {
	version, ok := errors.AsType[*seal.VersionError](err)
	if !ok {
		return err
	}
	if _, missing := store.Stat(ctx, versionObject(version.Found)); !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: it says format version %d, in which nothing was written here", seal.ErrDamaged, version.Found)
}
