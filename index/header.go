package index

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/blob"
)

const (
	segmentMagic = "HFIX"
	segmentHead  = 24      // bytes
	fanoutSize   = 256 * 4 // bytes
	maxPacks     = 1 << 20
	maxEntries   = 1 << 28
	maxBaseIDs   = 1 << 28
)

// MaxSuperseded bounds the segments that one can replace.
const MaxSuperseded = 1 << 16

// segmentHeader is the counts with which a segment begins.
type segmentHeader struct{ superseded, packs, entries, bases int }

func (h segmentHeader) append(dst []byte) []byte {
	dst = append(dst, segmentMagic...)
	for _, n := range [...]int{h.superseded, h.packs, h.entries, h.bases, 0} {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	}
	return dst
}

func (h *segmentHeader) parse(data []byte) error {
	if len(data) < segmentHead || string(data[:4]) != segmentMagic {
		return fmt.Errorf("%w: it does not begin as an index segment", ErrDamaged)
	}
	n := func(i int) int { return int(binary.LittleEndian.Uint32(data[i:])) }
	h.superseded, h.packs, h.entries, h.bases = n(4), n(8), n(12), n(16)
	if n(20) != 0 {
		return fmt.Errorf("%w: bytes of its header that are zero are not", ErrDamaged)
	}
	return h.validate()
}

func (h segmentHeader) validate() error {
	if h.superseded > MaxSuperseded || h.packs > maxPacks || h.entries > maxEntries || h.bases > maxBaseIDs {
		return fmt.Errorf("%w: %d superseded, %d packs, %d entries, %d bases: more than a segment can have",
			ErrDamaged, h.superseded, h.packs, h.entries, h.bases)
	}
	return nil
}

// The places of a segment's parts, in bytes.
func (h segmentHeader) packsAt() int64 {
	return segmentHead + int64(h.superseded)*int64(len(SegmentName{}))
}
func (h segmentHeader) fanoutAt() int64  { return h.packsAt() + int64(h.packs)*packSize }
func (h segmentHeader) entriesAt() int64 { return h.fanoutAt() + fanoutSize }
func (h segmentHeader) basesAt() int64   { return h.entriesAt() + int64(h.entries)*rowSize }
func (h segmentHeader) size() int64      { return h.basesAt() + int64(h.bases)*blob.Size }
