package index

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/internal/blob"
)

// ErrDamaged: the bytes are not an index segment.
var ErrDamaged = errors.New("damaged")

// SegmentName names an index segment.
type SegmentName [16]byte

// String returns the name as 32 hex digits.
func (n SegmentName) String() string { return hex.EncodeToString(n[:]) }

const folder = "index/"

// ObjectName returns the name of a segment's object: "index/3f02…".
func ObjectName(n SegmentName) string { return folder + n.String() }

// ParseObjectName is the inverse of ObjectName. A name that no segment can have
// is fs.ErrInvalid.
func ParseObjectName(object string) (SegmentName, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(object, folder))
	if err != nil || len(raw) != len(SegmentName{}) || ObjectName(SegmentName(raw)) != object {
		return SegmentName{}, fmt.Errorf("%q is not the name of an index segment: %w", object, fs.ErrInvalid)
	}
	return SegmentName(raw), nil
}

// Pack is what the index knows of a pack: enough to open its blobs without
// reading its header.
type Pack struct {
	Name    [32]byte // BLAKE3-256 of its bytes
	Salt    [32]byte
	Epoch   uint32
	Size    uint32   // bytes
	Session [10]byte // that wrote it
}

// Entry is one copy of a blob.
type Entry struct {
	ID       blob.ID
	Pack     Pack
	Offset   uint32    // of the sealed payload in the pack, in bytes
	Sealed   uint32    // length of the sealed payload, in bytes
	Length   uint32    // of the blob, in bytes
	Number   uint32    // place among the pack's blobs, from 0
	Encoding uint8     // bit 0: zstd, bit 1: delta
	Depth    uint8     // 0 for a whole blob
	Bases    []blob.ID // of a delta, 1 to 8
}

const (
	encodingKnown = 0b11
	encodingDelta = 0b10

	maxBases   = 8
	maxLength  = 16 << 20 // bytes of a blob
	packHeader = 48       // bytes before a pack's first blob
	tagSize    = 16       // bytes that sealing adds
)

// validate checks an entry against the pack it names. Bases are counted by the
// caller, because a row has only their number.
func (e *Entry) validate(bases int) error {
	delta := e.Encoding&encodingDelta != 0
	switch {
	case e.Encoding&^encodingKnown != 0 || bases > maxBases || delta != (bases > 0) || delta != (e.Depth > 0):
		return fmt.Errorf("%w: blob %s in encoding %#x of depth %d with %d bases", ErrDamaged, e.ID.Short(), e.Encoding, e.Depth, bases)
	case e.Length > maxLength:
		return fmt.Errorf("%w: blob %s of %d bytes", ErrDamaged, e.ID.Short(), e.Length)
	case e.Offset < packHeader || e.Sealed < tagSize || uint64(e.Offset)+uint64(e.Sealed) > uint64(e.Pack.Size):
		return fmt.Errorf("%w: blob %s at %d, %d bytes, of a pack of %d", ErrDamaged, e.ID.Short(), e.Offset, e.Sealed, e.Pack.Size)
	}
	return nil
}
