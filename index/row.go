package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"

	"holdfast/internal/blob"
)

// EntrySize is what an entry of a segment takes, but for its bases, in bytes.
const EntrySize = rowSize

const (
	rowSize  = 64 // bytes of an entry in a segment
	packSize = 88 // bytes of a pack record
)

// row is an entry as it stands in a table: pack and bases by their place.
type row struct {
	id        blob.ID
	pack      uint32
	offset    uint32
	sealed    uint32
	length    uint32
	number    uint32
	firstBase uint32
	encoding  uint8
	depth     uint8
	bases     uint8
}

func (r *row) append(dst []byte) []byte {
	dst = append(dst, r.id[:]...)
	for _, v := range [...]uint32{r.pack, r.offset, r.sealed, r.length, r.number, r.firstBase} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return append(dst, r.encoding, r.depth, r.bases, 0, 0, 0, 0, 0)
}

// parse reads the row with which data begins. That its numbers make sense is
// for entry to say.
func (r *row) parse(data []byte) error {
	_ = data[rowSize-1]
	r.id = blob.ID(data)
	r.pack = binary.LittleEndian.Uint32(data[32:])
	r.offset = binary.LittleEndian.Uint32(data[36:])
	r.sealed = binary.LittleEndian.Uint32(data[40:])
	r.length = binary.LittleEndian.Uint32(data[44:])
	r.number = binary.LittleEndian.Uint32(data[48:])
	r.firstBase = binary.LittleEndian.Uint32(data[52:])
	r.encoding, r.depth, r.bases = data[56], data[57], data[58]
	if binary.LittleEndian.Uint64(data[56:])>>24 != 0 {
		return fmt.Errorf("%w: entry of blob %s: bytes that are zero are not", ErrDamaged, r.id.Short())
	}
	return nil
}

// compare is the order of rows in a table.
func (r *row) compare(o *row) int {
	return cmp.Or(bytes.Compare(r.id[:], o.id[:]), cmp.Compare(r.depth, o.depth),
		cmp.Compare(r.pack, o.pack), cmp.Compare(r.number, o.number))
}

// entry returns what the row says of a blob in pack p, still without its bases.
func (r *row) entry(p Pack) (Entry, error) {
	e := Entry{ID: r.id, Pack: p, Offset: r.offset, Sealed: r.sealed, Length: r.length, Number: r.number,
		Encoding: r.encoding, Depth: r.depth}
	return e, e.validate(int(r.bases))
}

func (p *Pack) append(dst []byte) []byte {
	dst = append(dst, p.Name[:]...)
	dst = append(dst, p.Salt[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, p.Epoch)
	dst = binary.LittleEndian.AppendUint32(dst, p.Size)
	dst = append(dst, p.Session[:]...)
	return append(dst, 0, 0, 0, 0, 0, 0)
}

func (p *Pack) parse(data []byte) error {
	_ = data[packSize-1]
	p.Name = [32]byte(data)
	p.Salt = [32]byte(data[32:])
	p.Epoch = binary.LittleEndian.Uint32(data[64:])
	p.Size = binary.LittleEndian.Uint32(data[68:])
	p.Session = [10]byte(data[72:])
	if [6]byte(data[82:]) != [6]byte{} {
		return fmt.Errorf("%w: record of pack %x: bytes that are zero are not", ErrDamaged, p.Name[:5])
	}
	return nil
}

func appendIDs(dst []byte, ids []blob.ID) []byte {
	for i := range ids {
		dst = append(dst, ids[i][:]...)
	}
	return dst
}

func parseIDs(data []byte) []blob.ID {
	ids := make([]blob.ID, len(data)/blob.Size)
	for i := range ids {
		ids[i] = blob.ID(data[i*blob.Size:])
	}
	return ids
}
