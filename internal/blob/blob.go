// Package blob names chunks of bytes.
//
// A blob is named by the BLAKE3-256 of its bytes, keyed with the repository's
// id key, so that equal contents have equal names inside one repository and a
// name tells nothing about the contents to whoever does not hold the key.
package blob

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"holdfast/internal/blake3"
)

// Size is the length of an ID in bytes.
const Size = 32

// ID names a blob. The zero ID names none.
type ID [Size]byte

// Key is the repository's id key.
type Key [32]byte

// String returns the id as 64 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first ten hex digits, enough to recognise a blob in a message.
func (id ID) Short() string { return hex.EncodeToString(id[:5]) }

// IsZero reports whether id names no blob.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders ids bytewise, as index segments do.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseID reads an id of 64 hex digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*Size {
		return id, fmt.Errorf("blob id %q: want %d hex digits", s, 2*Size)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("blob id %q: %w", s, err)
	}
	return id, nil
}

// Hasher computes ids. It keeps state between calls so that none allocates;
// one Hasher serves one goroutine at a time.
type Hasher struct{ h *blake3.Hasher }

// NewHasher returns a Hasher for the repository whose id key is key.
func NewHasher(key Key) *Hasher { return &Hasher{blake3.NewKeyed(key)} }

// ID returns the id of data.
func (h *Hasher) ID(data []byte) ID { return h.h.Hash(data) }
