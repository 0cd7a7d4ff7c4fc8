package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/blob"
)

// Builder collects what a new segment is to hold. The zero Builder is ready.
type Builder struct {
	packs      []Pack
	rows       []pending
	superseded []SegmentName
}

// pending is a row whose pack is its place among the Builder's packs.
type pending struct {
	row
	ids []blob.ID
}

// AddPack adds what a pack holds; the entries' Pack is not looked at. The bases
// are kept until Encode. What comes twice stands once.
func (b *Builder) AddPack(p Pack, entries []Entry) {
	place := uint32(len(b.packs))
	b.packs = append(b.packs, p)
	b.rows = slices.Grow(b.rows, len(entries))
	for i := range entries {
		e := &entries[i]
		b.rows = append(b.rows, pending{
			row: row{id: e.ID, pack: place, offset: e.Offset, sealed: e.Sealed, length: e.Length, number: e.Number,
				encoding: e.Encoding, depth: e.Depth, bases: uint8(min(len(e.Bases), 255))},
			ids: e.Bases,
		})
	}
}

// Supersede says that the new segment replaces another one.
func (b *Builder) Supersede(name SegmentName) { b.superseded = append(b.superseded, name) }

// Encode returns the segment. An error means that an entry makes no sense, that
// one pack was added with two descriptions, or that it is all too much for one
// segment.
func (b *Builder) Encode() ([]byte, error) {
	packs, places, err := b.sortedPacks()
	if err != nil {
		return nil, err
	}
	rows, err := b.sortedRows(packs, places)
	if err != nil {
		return nil, err
	}
	superseded := slices.Clone(b.superseded)
	slices.SortFunc(superseded, compareNames)
	superseded = slices.Compact(superseded)
	bases := 0
	for i := range rows {
		if rows[i].bases > 0 {
			rows[i].firstBase = uint32(bases)
			bases += len(rows[i].ids)
		}
	}
	h := segmentHeader{superseded: len(superseded), packs: len(packs), entries: len(rows), bases: bases}
	if err := h.validate(); err != nil {
		return nil, err
	}
	return h.encode(superseded, packs, rows), nil
}

func (h segmentHeader) encode(superseded []SegmentName, packs []Pack, rows []pending) []byte {
	data := make([]byte, 0, h.size())
	data = h.append(data)
	for _, name := range superseded {
		data = append(data, name[:]...)
	}
	for i := range packs {
		data = packs[i].append(data)
	}
	var fanout [256]uint32
	for i := range rows {
		fanout[rows[i].id[0]]++
	}
	total := uint32(0)
	for _, n := range fanout {
		total += n
		data = binary.LittleEndian.AppendUint32(data, total)
	}
	for i := range rows {
		data = rows[i].append(data)
	}
	for i := range rows {
		data = appendIDs(data, rows[i].ids)
	}
	return data
}

// sortedPacks returns each pack once, in the order of names, and for every pack
// that was added its place among them.
func (b *Builder) sortedPacks() (packs []Pack, places []uint32, err error) {
	order := make([]int, len(b.packs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(b.packs[i].Name[:], b.packs[j].Name[:]) })
	places = make([]uint32, len(b.packs))
	for _, i := range order {
		p := b.packs[i]
		if last := len(packs) - 1; last < 0 || packs[last].Name != p.Name {
			packs = append(packs, p)
		} else if packs[last] != p {
			return nil, nil, fmt.Errorf("pack %x was added with two descriptions", p.Name)
		}
		places[i] = uint32(len(packs) - 1)
	}
	return packs, places, nil
}

func (b *Builder) sortedRows(packs []Pack, places []uint32) ([]pending, error) {
	rows := slices.Clone(b.rows)
	for i := range rows {
		r := &rows[i]
		r.pack = places[r.pack]
		if _, err := r.entry(packs[r.pack]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rows, func(x, y pending) int { return x.compare(&y.row) })
	return slices.CompactFunc(rows, func(x, y pending) bool { return x.compare(&y.row) == 0 }), nil
}

func compareNames(a, b SegmentName) int { return bytes.Compare(a[:], b[:]) }
