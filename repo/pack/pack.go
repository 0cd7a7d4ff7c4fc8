// Package pack writes and reads packs: immutable files of sealed blobs with a
// sealed directory at their end, specified in docs/format.md, section 4.
//
//	Add: blob, payload -> sealed, appended            ReadDirectory: trailer, directory
//	Take: what is sealed so far                       Open: one sealed payload
//	Finish: directory, trailer; Namer: BLAKE3
//
// What a payload is (zstd, delta) is told by the blob's Encoding and is the
// repository's business: this package seals and opens it.
//
// Invariants:
//
//  1. A pack's name is the BLAKE3-256 of its bytes: a storage can be checked
//     without a key.
//  2. A pack can be read without the index: header, blobs and directory fill the
//     file exactly, and the directory is in the order of the blobs.
//  3. Each attempt at a pack has a salt of its own, and a blob's number is its
//     nonce: nothing is sealed twice under one key and nonce.
//  4. Decoders are total and cap every length before they allocate.
//
// A Builder serves one goroutine at a time. The package starts none.
package pack

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"holdfast/internal/blake3"
	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

// Folder is where packs are in a storage.
const Folder = "packs"

const (
	// MaxSize bounds a pack, in bytes.
	MaxSize = 64 << 20
	// MaxBlob bounds a blob, in bytes.
	MaxBlob = 16 << 20
	// MaxBlobs bounds the number of blobs in a pack.
	MaxBlobs = 1 << 20
	// MaxBases bounds how many bases a delta has.
	MaxBases = 8
)

// Encoding says how a payload becomes the blob's bytes.
type Encoding uint8

// The bits of an Encoding: first a zstd frame is decompressed, then a delta
// applied.
const (
	Zstd  Encoding = 1 << 0
	Delta Encoding = 1 << 1
)

// Blob describes a blob as it stands in a pack: one of the copies it may have.
type Blob struct {
	ID       blob.ID
	Length   uint32 // bytes of the blob itself
	Encoding Encoding
	Depth    uint8     // 0 for a whole blob; each base of a delta has a copy of a lower one
	Bases    []blob.ID // of a delta, 1 to MaxBases
}

// Placed is a Blob and where in the pack its sealed payload is.
type Placed struct {
	Blob
	Number uint32 // place among the pack's blobs, from 0
	Offset uint32 // bytes from the pack's beginning
	Sealed uint32 // length of the sealed payload, in bytes
}

// Info describes a pack.
type Info struct {
	Name    [32]byte // BLAKE3-256 of the pack's bytes
	Salt    [32]byte
	Epoch   uint32
	Size    uint32   // bytes
	Session [10]byte // that wrote it
}

// Pack is a finished pack.
type Pack struct {
	Info
	Data  []byte // its last bytes, all that were not taken; the Builder's, valid until its Reset
	Blobs []Placed
}

func (b *Blob) validate() error {
	delta := b.Encoding&Delta != 0
	switch {
	case b.Length > MaxBlob:
		return fmt.Errorf("blob %s of %d bytes, more than %d", b.ID.Short(), b.Length, MaxBlob)
	case b.Encoding&^(Zstd|Delta) != 0:
		return fmt.Errorf("blob %s in the unknown encoding %#x", b.ID.Short(), uint8(b.Encoding))
	case len(b.Bases) > MaxBases || delta != (len(b.Bases) > 0) || delta != (b.Depth > 0):
		return fmt.Errorf("blob %s in encoding %#x of depth %d with %d bases", b.ID.Short(), uint8(b.Encoding), b.Depth, len(b.Bases))
	}
	return nil
}

// Open appends the payload of one of the pack's blobs to dst, given its sealed
// bytes. The error is a seal.ErrDamaged; the caller knows the pack's name.
func Open(cipher *seal.PackCipher, p Placed, sealed, dst []byte) ([]byte, error) {
	payload, err := cipher.OpenBlob(dst, p.Number, sealed)
	if err != nil {
		return dst, fmt.Errorf("blob %s, number %d of the pack: %w", p.ID.Short(), p.Number, err)
	}
	return payload, nil
}

// Name returns the name of the pack of these bytes.
func Name(data []byte) [32]byte { return blake3.Sum256(data) }

// Namer computes the name of a pack that it sees in parts.
type Namer struct{ hasher *blake3.Hasher }

// NewNamer returns a Namer that has seen nothing yet.
func NewNamer() *Namer { return &Namer{blake3.New()} }

// Reset forgets the bytes seen.
func (n *Namer) Reset() { n.hasher.Reset() }

// Write takes the next bytes of the pack. It never fails.
func (n *Namer) Write(part []byte) (int, error) { return n.hasher.Write(part) }

// Name returns the name of the pack of the bytes seen.
func (n *Namer) Name() [32]byte { return n.hasher.Sum() }

// VerifyName compares a whole pack with the name of its object. It needs no key.
func VerifyName(object string, data []byte) error {
	name, err := ParseObjectName(object)
	if err != nil {
		return err
	}
	if Name(data) != name {
		return fmt.Errorf("%s: its bytes are not those of its name: %w", object, seal.ErrDamaged)
	}
	return nil
}

// ObjectName returns the name of a pack's object: "packs/3f/3f02…".
func ObjectName(name [32]byte) string {
	digits := hex.EncodeToString(name[:])
	return Folder + "/" + digits[:2] + "/" + digits
}

// ParseObjectName is the inverse of ObjectName. A name that no pack can have is
// fs.ErrInvalid.
func ParseObjectName(object string) ([32]byte, error) {
	digits := object[strings.LastIndexByte(object, '/')+1:]
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 32 || ObjectName([32]byte(raw)) != object {
		return [32]byte{}, fmt.Errorf("%q is not the name of a pack: %w", object, fs.ErrInvalid)
	}
	return [32]byte(raw), nil
}
