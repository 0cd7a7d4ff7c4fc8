package index

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"holdfast/internal/blob"
)

// Segment is an open index segment. It keeps header, packs and fan-out in memory
// and reads the rest when asked.
type Segment struct {
	at         io.ReaderAt
	memory     []byte // the whole segment, if it is there
	header     segmentHeader
	superseded []SegmentName
	packs      []Pack
	fanout     [256]uint32
	filter     filter // of all ids; nil: none
	held       int
	windows    sync.Pool // *[windowSize]byte
}

// OpenSegment opens a segment of size bytes, which at must be able to read for as
// long as the Segment is used; from several goroutines if the Segment is.
func OpenSegment(at io.ReaderAt, size int64) (*Segment, error) {
	s := &Segment{at: at}
	s.windows.New = func() any { return new([windowSize]byte) }
	head := make([]byte, min(segmentHead, max(size, 0)))
	if err := s.read(head, 0); err != nil {
		return nil, err
	}
	if err := s.header.parse(head); err != nil {
		return nil, err
	}
	if size != s.header.size() {
		return nil, fmt.Errorf("%w: %d bytes, its header says %d", ErrDamaged, size, s.header.size())
	}
	tables := make([]byte, s.header.entriesAt()-segmentHead)
	if err := s.read(tables, segmentHead); err != nil {
		return nil, err
	}
	return s, s.parseTables(tables)
}

// OpenMemory opens a segment that lies in memory, which it keeps.
func OpenMemory(data []byte) (*Segment, error) {
	s, err := OpenSegment(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		s.memory, s.held = data, len(data)
	}
	return s, err
}

// OpenFiltered is OpenSegment for a segment that is not in memory: it is read
// once, and from then on only where it most likely knows the blob. That takes 12
// bits of memory for each entry.
func OpenFiltered(at io.ReaderAt, size int64) (*Segment, error) {
	s, err := OpenSegment(at, size)
	if err != nil {
		return nil, err
	}
	known := newFilter(s.Len())
	if err := s.walk(func(e Entry) bool { known.add(&e.ID); return true }); err != nil {
		return nil, err
	}
	s.filter, s.held = known, 64*len(known)
	return s, nil
}

func (s *Segment) parseTables(data []byte) error {
	s.superseded = make([]SegmentName, s.header.superseded)
	for i := range s.superseded {
		s.superseded[i] = SegmentName(data)
		data = data[len(SegmentName{}):]
		if i > 0 && compareNames(s.superseded[i-1], s.superseded[i]) >= 0 {
			return fmt.Errorf("%w: superseded segments are not in order", ErrDamaged)
		}
	}
	s.packs = make([]Pack, s.header.packs)
	for i := range s.packs {
		if err := s.packs[i].parse(data); err != nil {
			return err
		}
		data = data[packSize:]
		if i > 0 && string(s.packs[i-1].Name[:]) >= string(s.packs[i].Name[:]) {
			return fmt.Errorf("%w: packs are not in order", ErrDamaged)
		}
	}
	before := uint32(0)
	for i := range s.fanout {
		s.fanout[i] = binary.LittleEndian.Uint32(data[4*i:])
		if s.fanout[i] < before {
			return fmt.Errorf("%w: its fan-out falls", ErrDamaged)
		}
		before = s.fanout[i]
	}
	if int(before) != s.header.entries {
		return fmt.Errorf("%w: its fan-out counts %d entries, its header %d", ErrDamaged, before, s.header.entries)
	}
	return nil
}

// Len returns the number of entries.
func (s *Segment) Len() int { return s.header.entries }

// Held returns how many bytes of memory the segment takes for its entries.
func (s *Segment) Held() int { return s.held }

// Packs returns the packs the segment tells of, sorted by name. The caller must
// not change them.
func (s *Segment) Packs() []Pack { return s.packs }

// Superseded returns the segments that this one replaces, sorted.
func (s *Segment) Superseded() []SegmentName { return s.superseded }

// Has reports whether the segment knows a copy of the blob. Over a reader in
// memory it allocates nothing.
func (s *Segment) Has(id blob.ID) (bool, error) {
	if s.filter != nil && !s.filter.mayHave(&id) {
		return false, nil
	}
	buf := s.windows.Get().(*[windowSize]byte)
	defer s.windows.Put(buf)
	_, raw, err := search(s, s.span(&id), &id, buf[:])
	return len(raw) > 0, err
}

// Lookup returns the copies of a blob, lowest depth first; none if the segment
// knows none.
func (s *Segment) Lookup(id blob.ID) ([]Entry, error) {
	if s.filter != nil && !s.filter.mayHave(&id) {
		return nil, nil
	}
	buf := s.windows.Get().(*[windowSize]byte)
	defer s.windows.Put(buf)
	_, raw, err := search(s, s.span(&id), &id, buf[:])
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	entries := make([]Entry, len(raw)/rowSize)
	for i := range entries {
		var r row
		if err := r.parse(raw[i*rowSize:]); err != nil {
			return nil, err
		}
		if entries[i], err = s.entry(&r); err != nil {
			return nil, err
		}
		if entries[i].Bases, err = s.bases(&r); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (s *Segment) span(id *blob.ID) span {
	first := int(id[0])
	sp := span{hi: int(s.fanout[first])}
	if first > 0 {
		sp.lo = int(s.fanout[first-1])
	}
	sp.lowKey, sp.highKey = keysOf(first, 8)
	return sp
}

// rows implements table.
func (s *Segment) rows(from, to int, buf []byte) ([]byte, error) {
	at, size := s.header.entriesAt()+int64(from)*rowSize, (to-from)*rowSize
	if s.memory != nil {
		return s.memory[at:][:size], nil
	}
	raw := buf[:size]
	return raw, s.read(raw, at)
}

func (s *Segment) entry(r *row) (Entry, error) {
	if int64(r.pack) >= int64(len(s.packs)) {
		return Entry{}, fmt.Errorf("%w: blob %s in pack %d of %d", ErrDamaged, r.id.Short(), r.pack, len(s.packs))
	}
	return r.entry(s.packs[r.pack])
}

func (s *Segment) bases(r *row) ([]blob.ID, error) {
	if r.bases == 0 {
		return nil, nil
	}
	raw := make([]byte, int(r.bases)*blob.Size)
	if err := s.read(raw, s.header.basesAt()+int64(r.firstBase)*blob.Size); err != nil {
		return nil, err
	}
	return parseIDs(raw), nil
}

// All yields every entry in the order of ids, and of depths below one id. It
// proves the order on the way; after an error nothing follows.
func (s *Segment) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := s.walk(func(e Entry) bool { return yield(e, nil) })
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

func (s *Segment) walk(yield func(Entry) bool) error {
	rows := s.section(s.header.entriesAt(), s.header.basesAt())
	ids := s.section(s.header.basesAt(), s.header.size())
	var raw [rowSize]byte
	var previous, r row
	nextBase := uint32(0)
	for i := range s.header.entries {
		if _, err := io.ReadFull(rows, raw[:]); err != nil {
			return shortened(err)
		}
		if err := r.parse(raw[:]); err != nil {
			return err
		}
		sp := s.span(&r.id)
		if i > 0 && previous.compare(&r) >= 0 || i < sp.lo || i >= sp.hi {
			return fmt.Errorf("%w: blob %s is out of order", ErrDamaged, r.id.Short())
		}
		if r.bases > 0 && r.firstBase != nextBase || r.bases == 0 && r.firstBase != 0 {
			return fmt.Errorf("%w: blob %s with bases out of order", ErrDamaged, r.id.Short())
		}
		e, err := s.entry(&r)
		if err != nil {
			return err
		}
		if e.Bases, err = readIDs(ids, int(r.bases)); err != nil {
			return shortened(err)
		}
		nextBase += uint32(r.bases)
		if !yield(e) {
			return nil
		}
		previous = r
	}
	if int(nextBase) != s.header.bases {
		return fmt.Errorf("%w: bases without a blob", ErrDamaged)
	}
	return nil
}

// section reads a part of the segment in large pieces.
func (s *Segment) section(from, to int64) *bufio.Reader {
	const piece = 512 << 10
	return bufio.NewReaderSize(io.NewSectionReader(s.at, from, to-from), int(min(piece, to-from)))
}

func readIDs(r io.Reader, n int) ([]blob.ID, error) {
	if n == 0 {
		return nil, nil
	}
	ids := make([]blob.ID, n)
	for i := range ids {
		if _, err := io.ReadFull(r, ids[i][:]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// read fills p.
func (s *Segment) read(p []byte, off int64) error {
	n, err := s.at.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return shortened(err)
}

// shortened makes the end of the bytes, where there should be more, what it is.
func shortened(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", ErrDamaged)
	}
	return err
}

// Current returns the segments that none of the others supersedes: those that
// count.
func Current(segments map[SegmentName]*Segment) map[SegmentName]*Segment {
	current := make(map[SegmentName]*Segment, len(segments))
	for name, s := range segments {
		current[name] = s
	}
	for _, s := range segments {
		for _, name := range s.superseded {
			delete(current, name)
		}
	}
	return current
}

// sortedNames returns the segments' names in order.
func sortedNames(segments map[SegmentName]*Segment) []SegmentName {
	names := make([]SegmentName, 0, len(segments))
	for name := range segments {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// mergeNames returns the names of both, sorted, each once.
func mergeNames(a, b []SegmentName) []SegmentName {
	names := slices.Concat(a, b)
	slices.SortFunc(names, compareNames)
	return slices.Compact(names)
}
