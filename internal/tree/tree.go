// Package tree holds the words that engines and the repository share: what a
// snapshot says about one file, directory or dump (Entry), and how it refers to
// the bytes of one (Stream).
//
// A directory's listing is itself a stream: the encoded entries, in order of
// their names. Equal directories therefore have equal streams, whatever their
// number of entries, and comparing two trees costs only what differs.
package tree

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/blob"
)

// Type is the kind of thing an Entry stands for.
type Type uint8

// The types. Their numbers are part of the format.
const (
	Directory   Type = 1
	File        Type = 2
	Symlink     Type = 3
	FIFO        Type = 4
	Socket      Type = 5
	CharDevice  Type = 6
	BlockDevice Type = 7
)

var typeNames = [...]string{Directory: "directory", File: "file", Symlink: "symlink", FIFO: "fifo",
	Socket: "socket", CharDevice: "character device", BlockDevice: "block device"}

// String returns the type's name in words.
func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

// Time is an instant as file systems keep it: seconds since 1970 (UTC), which
// may lie before it, and nanoseconds below one second.
type Time struct {
	_    struct{} `cbor:",toarray"`
	Sec  int64
	Nsec uint32
}

// TimeOf converts t.
func TimeOf(t time.Time) Time { return Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())} }

// Time converts back, in UTC.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec }

// Xattr is one extended attribute; POSIX ACLs are among them.
type Xattr struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value []byte
}

// Extent is a range of a file's bytes.
type Extent struct {
	_      struct{} `cbor:",toarray"`
	Offset uint64
	Length uint64
}

// Ref stands for Size bytes of content. At level 0 ID names the blob that holds
// them; at level n > 0 it names a blob that holds encoded refs of lower levels
// (EncodeRefs), whose sizes add up to Size.
type Ref struct {
	ID    blob.ID
	Level uint8
	Size  uint64
}

// Stream is an ordered list of refs. Two streams with equal refs have equal
// contents. The zero Stream is empty.
type Stream struct {
	Refs []Ref
}

// Size is the number of bytes the stream holds.
func (s Stream) Size() uint64 {
	var n uint64
	for _, r := range s.Refs {
		n += r.Size
	}
	return n
}

// Equal reports whether s and t are made of the same refs.
func (s Stream) Equal(t Stream) bool { return slices.Equal(s.Refs, t.Refs) }

// Entry describes one name in a directory.
//
// Invariants, which Validate holds: Name is a single path element; Holes are
// sorted, do not touch and lie inside Size; only files have Holes and Links;
// only files and directories have Content.
type Entry struct {
	Name string `cbor:"1,keyasint"` // any bytes but '/' and NUL; need not be UTF-8
	Type Type   `cbor:"2,keyasint"`
	Mode uint32 `cbor:"3,keyasint,omitempty"` // permission bits, set-id and sticky: 07777

	UID   uint32 `cbor:"4,keyasint,omitempty"`
	GID   uint32 `cbor:"5,keyasint,omitempty"`
	User  string `cbor:"6,keyasint,omitempty"` // "" when the number has no name
	Group string `cbor:"7,keyasint,omitempty"`

	MTime Time   `cbor:"8,keyasint"`
	CTime Time   `cbor:"9,keyasint"`            // to recognise an unchanged file; never restored
	Inode uint64 `cbor:"10,keyasint,omitempty"` // likewise

	// Link is the hard-link group: entries of one service with the same number,
	// which is not 0, are one file.
	Link   uint64  `cbor:"11,keyasint,omitempty"`
	Device uint64  `cbor:"12,keyasint,omitempty"` // devices: major<<32 | minor
	Target string  `cbor:"13,keyasint,omitempty"` // symlinks
	Xattrs []Xattr `cbor:"14,keyasint,omitempty"` // sorted by name

	// Size is a file's length, holes included; of a directory, the sum of the
	// sizes beneath it.
	Size uint64 `cbor:"15,keyasint,omitempty"`
	// Holes are the ranges of a sparse file that Content leaves out.
	Holes []Extent `cbor:"16,keyasint,omitempty"`
	// Content is a file's bytes without its holes, or a directory's listing.
	Content Stream `cbor:"17,keyasint,omitempty"`
	// Entries counts what lies beneath a directory, at all depths.
	Entries uint64 `cbor:"18,keyasint,omitempty"`
	// Suspect marks a file that changed so shortly before it was read that its
	// times cannot prove a later copy unchanged: the next snapshot reads it again.
	Suspect bool `cbor:"19,keyasint,omitempty"`
}

// The bounds of an entry.
const (
	MaxName  = 4096
	MaxLevel = 8
)

// ErrInvalid is wrapped by every error about an entry or list that breaks the
// rules of this package: damaged, or made to do harm.
var ErrInvalid = errors.New("invalid tree data")

// ValidName reports whether name can stand for one directory entry: not empty,
// not "." or "..", without '/' and NUL, and at most MaxName bytes.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxName &&
		strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

// Validate checks the invariants of e.
func (e *Entry) Validate() error {
	bad := func(why string) error { return fmt.Errorf("entry %q: %s: %w", e.Name, why, ErrInvalid) }
	switch {
	case !ValidName(e.Name):
		return bad("not a file name")
	case e.Type == 0 || int(e.Type) >= len(typeNames):
		return bad("unknown " + e.Type.String())
	case e.Mode&^0o7777 != 0:
		return bad("mode out of range")
	case e.MTime.Nsec >= 1e9 || e.CTime.Nsec >= 1e9:
		return bad("time out of range")
	case (e.Target != "") != (e.Type == Symlink) || strings.IndexByte(e.Target, 0) >= 0:
		return bad("symlink target")
	case len(e.Xattrs) > maxItems || len(e.Holes) > maxItems:
		return bad("too many attributes or holes")
	case e.Type != File && (len(e.Holes) > 0 || e.Link != 0 && e.Type == Directory):
		return bad("holes or links where none can be")
	case e.Type != File && e.Type != Directory && (len(e.Content.Refs) > 0 || e.Size != 0):
		return bad("content where none can be")
	case e.Type != Directory && e.Entries != 0:
		return bad("entry count where none can be")
	}
	if e.Type == File {
		return e.validateExtents(bad)
	}
	return nil
}

func (e *Entry) validateExtents(bad func(string) error) error {
	var end, holes uint64
	for i, h := range e.Holes {
		if h.Length == 0 || i > 0 && h.Offset <= end || h.Offset < end ||
			h.Offset > e.Size || h.Length > e.Size-h.Offset {
			return bad("holes out of order or out of range")
		}
		end = h.Offset + h.Length
		holes += h.Length
	}
	if e.Content.Size() != e.Size-holes {
		return bad("size and content disagree")
	}
	return nil
}
