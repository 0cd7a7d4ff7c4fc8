package activity

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// ErrInvalid is wrapped by every error about an object that breaks the rules of
// this package: damaged, or written by a newer program.
var ErrInvalid = errors.New("invalid activity data")

// maxEncoded is the size of a record in bytes, docs/format.md.
const maxEncoded = 16 << 20

var (
	encoding = must(cbor.EncOptions{
		Sort:        cbor.SortCoreDeterministic,
		String:      cbor.StringToByteString,
		Time:        cbor.TimeUnix,
		IndefLength: cbor.IndefLengthForbidden,
	}.EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:          cbor.DupMapKeyEnforcedAPF,
		IndefLength:        cbor.IndefLengthForbidden,
		TagsMd:             cbor.TagsForbidden,
		ByteStringToString: cbor.ByteStringToStringAllowed,
		ExtraReturnErrors:  cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:    4,
		MaxArrayElements:   maxResults,
		MaxMapPairs:        32,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic("activity: CBOR options: " + err.Error())
	}
	return mode
}

// encoded is what objects hold.
type encoded interface {
	validate() error
	toUTC()
}

func encode(v encoded) ([]byte, error) {
	if err := v.validate(); err != nil {
		return nil, err
	}
	data, err := encoding.Marshal(v)
	if err == nil && len(data) > maxEncoded {
		err = fmt.Errorf("%d bytes, more than %d: %w", len(data), maxEncoded, ErrInvalid)
	}
	return data, err
}

// decode accepts exactly what encode makes.
func decode(data []byte, v encoded) error {
	if len(data) > maxEncoded {
		return fmt.Errorf("%d bytes, more than %d: %w", len(data), maxEncoded, ErrInvalid)
	}
	if err := decoding.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	v.toUTC()
	again, err := encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, again) {
		return fmt.Errorf("not in canonical form: %w", ErrInvalid)
	}
	return nil
}

// The checks of single fields. Times are whole seconds between 1970 and 9999, the
// range that every form of output can show.

func validID(id string) bool { return len(id) == 20 && strings.Trim(id, "0123456789abcdef") == "" }

func validTime(t time.Time) bool { return !t.IsZero() && t.Unix() >= 0 && t.Year() <= 9999 }

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
