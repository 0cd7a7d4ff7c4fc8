package pack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/internal/seal"
)

const (
	// firstBuffer is how large a buffer is at first, in bytes: doubled three times it
	// is 1.5 MiB, which holds a part that is taken at one and a blob of usual size.
	firstBuffer = 3 << 20 >> 4
	// PartUnit is what the length of a part is a multiple of, in bytes: storages
	// like to write whole pages.
	PartUnit = 4096
)

// Builder makes packs, one after the other. Whoever takes parts of a pack while it
// is filled never has all of it in memory.
type Builder struct {
	keys      *seal.Keys
	session   [10]byte
	cipher    *seal.PackCipher
	data      []byte // not taken yet
	taken     int    // bytes before data
	blobs     []Placed
	bases     []blob.ID // backing of the blobs' Bases
	directory int       // bytes that the directory will have
	finished  bool
}

// NewBuilder returns the builder of a session's packs, ready for the first one.
func NewBuilder(keys *seal.Keys, session [10]byte) (*Builder, error) {
	b := &Builder{keys: keys, session: session}
	return b, b.Reset()
}

// Reset begins a new pack, with a salt of its own, in the buffer that the one
// before ended in: its Data become invalid.
func (b *Builder) Reset() error {
	cipher, err := b.keys.NewPack()
	if err != nil {
		return fmt.Errorf("begin a pack: %w", err)
	}
	header := cipher.Header()
	b.cipher = cipher
	b.data, b.taken = append(b.data[:0], header[:]...), 0
	b.blobs, b.bases = make([]Placed, 0, len(b.blobs)), nil // the pack before keeps its own
	b.directory = directoryHead
	b.finished = false
	return nil
}

// Add seals a blob's payload into the pack; neither it nor blob.Bases is kept.
// An error means that the blob does not belong into a pack or has no room in this
// one, which is then as before.
func (b *Builder) Add(blob Blob, payload []byte) error {
	if b.finished {
		return errors.New("add to a pack: it is finished")
	}
	if err := blob.validate(); err != nil {
		return fmt.Errorf("add to a pack: %w", err)
	}
	entry := entrySize + len(blob.Bases)*len(blob.ID)
	if len(b.blobs) == MaxBlobs || len(payload) > MaxSize || b.Size()+len(payload)+seal.Overhead+entry > MaxSize {
		return fmt.Errorf("add to a pack: blob %s of %d bytes has no room behind %d blobs, %d bytes",
			blob.ID.Short(), len(payload), len(b.blobs), b.Size())
	}
	if len(blob.Bases) > 0 {
		from := len(b.bases)
		b.bases = append(b.bases, blob.Bases...)
		blob.Bases = b.bases[from:len(b.bases):len(b.bases)]
	} else {
		blob.Bases = nil
	}
	placed := Placed{
		Blob:   blob,
		Number: uint32(len(b.blobs)),
		Offset: uint32(b.taken + len(b.data)),
		Sealed: uint32(len(payload) + seal.Overhead),
	}
	b.grow(len(payload) + seal.Overhead)
	b.data = b.cipher.SealBlob(b.data, placed.Number, payload)
	b.blobs = append(b.blobs, placed)
	b.directory += entry
	return nil
}

// grow makes room for n more bytes. Sealing alone would make room for exactly one
// blob; doubling copies each byte once in the mean, and a Builder that is reused
// copies nothing.
func (b *Builder) grow(n int) {
	if cap(b.data)-len(b.data) < n {
		larger := make([]byte, len(b.data), max(2*cap(b.data), len(b.data)+n, firstBuffer))
		copy(larger, b.data)
		b.data = larger
	}
}

// Count returns the number of blobs in the pack.
func (b *Builder) Count() int { return len(b.blobs) }

// Held returns how many bytes of the pack are there to be taken.
func (b *Builder) Held() int { return len(b.data) }

// Take returns the next part of the pack: what is sealed and was not taken yet, but
// for the rest that is left by dividing it by PartUnit. The part belongs to the
// caller, and next to the Builder, which goes on in it.
func (b *Builder) Take(next []byte) []byte {
	part := b.data[:len(b.data)/PartUnit*PartUnit]
	b.data = append(next[:0], b.data[len(part):]...)
	b.taken += len(part)
	return part
}

// Size returns the length in bytes that the pack would have if it were finished
// now.
func (b *Builder) Size() int {
	if b.finished {
		return b.taken + len(b.data)
	}
	return b.taken + len(b.data) + b.directory + seal.Overhead + trailerSize
}

// Finish ends the pack with its directory. The pack has at least one blob. Its name
// is not set: who has seen all of its bytes can tell it (see Namer).
func (b *Builder) Finish() (*Pack, error) {
	if b.finished || len(b.blobs) == 0 {
		return nil, fmt.Errorf("finish a pack of %d blobs: there is none to finish", len(b.blobs))
	}
	b.finished = true
	directory := appendDirectory(make([]byte, 0, b.directory), b.session, b.blobs)
	b.grow(len(directory) + seal.Overhead + trailerSize)
	b.data = b.cipher.SealDirectory(b.data, directory)
	b.data = binary.LittleEndian.AppendUint32(b.data, uint32(len(directory)+seal.Overhead))
	b.data = append(b.data, trailerMagic...)
	return &Pack{
		Info: Info{
			Salt:    b.cipher.Salt(),
			Epoch:   b.cipher.Epoch(),
			Size:    uint32(b.taken + len(b.data)),
			Session: b.session,
		},
		Data:  b.data,
		Blobs: b.blobs,
	}, nil
}
