package seal

import (
	"errors"
	"fmt"
)

var (
	// ErrWrongKey: the password or token does not open the key slot. A slot whose
	// sealed part was damaged cannot be told from a wrong password.
	ErrWrongKey = errors.New("wrong password or token")
	// ErrNotToken: the text cannot be a token.
	ErrNotToken = errors.New("not a token")
	// ErrDamaged: the bytes are not what was sealed under this name.
	ErrDamaged = errors.New("damaged")
	// ErrVersion is what every VersionError is.
	ErrVersion = errors.New("format version not known")
)

// VersionError says that an object was written in a later format version.
type VersionError struct {
	Object string // empty if the place that noticed does not know it
	Found  uint8
	Known  uint8 // the highest that this program reads
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("written in format version %d, this program knows up to %d: use a newer one", e.Found, e.Known)
}

// Is makes a VersionError an ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// EpochError says that an object is sealed under a key that the root record at
// hand does not have. It is no damage: after a rotation somebody else's newer
// root record has it.
type EpochError struct {
	Object string // empty if the place that noticed does not know it
	Epoch  uint32 // of the object
	Newest uint32 // of the root record
}

func (e *EpochError) Error() string {
	return fmt.Sprintf("its keys are of epoch %d, and the password or token in use knows those up to %d: "+
		"use one that was added after \"holdfast repo key rotate\"", e.Epoch, e.Newest)
}

// Named adds the object's name to an error of this package.
func Named(object string, err error) error {
	var version *VersionError
	var epoch *EpochError
	switch {
	case errors.As(err, &version):
		version.Object = object
	case errors.As(err, &epoch):
		epoch.Object = object
	}
	return fmt.Errorf("open %s: %w", object, err)
}

// damaged is an ErrDamaged with its reason.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}
