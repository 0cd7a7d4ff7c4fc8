package index

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"holdfast/internal/blob"
)

// spills takes the entries of a build in any order, keeps them in one file per
// shard, and gives each shard back sorted.
type spills struct {
	bits   int
	files  []spill
	packs  []byte              // records, in order of arrival
	places map[[32]byte]uint32 // of a pack among them, by name
}

// spill is a file of rows, each with its base ids behind it.
type spill struct {
	file *os.File
	w    *bufio.Writer
}

func newSpills(dir string, bits int) (*spills, error) {
	s := &spills{bits: bits, places: map[[32]byte]uint32{}}
	for i := range 1 << bits {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("spill-%02x", i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files = append(s.files, spill{f, bufio.NewWriterSize(f, 64<<10)})
	}
	return s, nil
}

func (s *spills) close() error {
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.file.Close())
	}
	return err
}

func (s *spills) addAll(ctx context.Context, entries iter.Seq2[Entry, error]) error {
	n := 0
	for e, err := range entries {
		if err != nil {
			return err
		}
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.add(&e); err != nil {
			return err
		}
	}
	return nil
}

func (s *spills) add(e *Entry) error {
	place, known := s.places[e.Pack.Name]
	if !known {
		if len(s.places) == math.MaxUint32 {
			return fmt.Errorf("more than %d packs", len(s.places))
		}
		place = uint32(len(s.places))
		s.places[e.Pack.Name] = place
		s.packs = e.Pack.append(s.packs)
	}
	r := row{id: e.ID, pack: place, offset: e.Offset, sealed: e.Sealed, length: e.Length, number: e.Number,
		encoding: e.Encoding, depth: e.Depth, bases: uint8(len(e.Bases))}
	w := s.files[int(e.ID[0])>>(8-s.bits)].w
	if _, err := w.Write(r.append(w.AvailableBuffer())); err != nil {
		return err
	}
	for i := range e.Bases {
		if _, err := w.Write(e.Bases[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// shard returns the layout of a shard's rows, each once, and their number.
func (s *spills) shard(i int) (data []byte, length int, err error) {
	spilled, err := s.files[i].read()
	if err != nil {
		return nil, 0, err
	}
	places, err := rowPlaces(spilled)
	if err != nil {
		return nil, 0, err
	}
	at := func(place int) (r row) {
		_ = r.parse(spilled[place:]) // rowPlaces has
		return r
	}
	slices.SortFunc(places, func(a, b int) int {
		x, y := at(a), at(b)
		return x.compare(&y)
	})
	places = slices.CompactFunc(places, func(a, b int) bool {
		x, y := at(a), at(b)
		return x.compare(&y) == 0
	})
	data = make([]byte, 0, len(spilled)+len(spilled)/blockSize*4+1024)
	ids := 0
	for _, place := range places {
		r := at(place)
		if r.bases > 0 {
			r.firstBase = uint32(ids)
			ids += int(r.bases)
		}
		data = r.append(data)
	}
	for _, place := range places {
		bases := int(spilled[place+58])
		data = append(data, spilled[place+rowSize:][:bases*blob.Size]...)
	}
	if int64(len(places)) > math.MaxUint32 || int64(ids) > math.MaxUint32 || len(data) > bboltMaxValue {
		return nil, 0, fmt.Errorf("%d entries are more than the copy can hold", len(places))
	}
	data = binary.LittleEndian.AppendUint32(data, uint32(len(places)))
	return binary.LittleEndian.AppendUint32(data, uint32(ids)), len(places), nil
}

// bboltMaxValue leaves room for the checksums.
const bboltMaxValue = math.MaxInt32 - 64<<20

func (f *spill) read() ([]byte, error) {
	if err := f.w.Flush(); err != nil {
		return nil, err
	}
	size, err := f.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = f.file.ReadAt(data, 0)
	return data, err
}

// rowPlaces returns where the spilled rows begin.
func rowPlaces(spilled []byte) ([]int, error) {
	places := make([]int, 0, len(spilled)/rowSize)
	for place := 0; place < len(spilled); {
		var r row
		if err := r.parse(spilled[place:]); err != nil {
			return nil, err
		}
		places = append(places, place)
		place += rowSize + int(r.bases)*blob.Size
	}
	return places, nil
}
