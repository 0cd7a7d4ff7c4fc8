package mysql

import (
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"holdfast/engines/dump"
)

// Bounds of one INSERT, in bytes. Between them it ends where the rows' own bytes
// say so, on average after another meanStatement, so that a row more or less
// changes the next few statements and not all that follow.
const (
	minStatement  = 16 << 10
	meanStatement = 16 << 10
	maxInsert     = 64 << 10
)

// batch is some rows of a table, as they stand in its stream.
type batch struct {
	text []byte // "(1,'a'),\n(2,'b'),\n"
	rows []row
}

type row struct {
	end    int  // in the batch's text
	member bool // every ENUM in it has a member as its value
	cut    bool // a statement that is long enough ends here
}

// batches makes batches of what one connection reads.
type batches struct {
	encoders []encoder
	enum     []bool       // columns where 0 is what strict mode refuses
	values   [][]byte     // nil for NULL
	huge     func() error // called before a row of dump.Huge bytes or more is written
}

func newBatches(t table, huge func() error) *batches {
	b := &batches{values: make([][]byte, len(t.columns)), huge: huge}
	for _, c := range t.columns {
		b.encoders = append(b.encoders, c.encoder())
		b.enum = append(b.enum, c.kind == "enum")
	}
	return b
}

// fill fills to with the next rows. io.EOF comes with the last, or behind them.
func (b *batches) fill(to *batch, rows rows) error {
	to.text, to.rows = to.text[:0], to.rows[:0]
	for len(to.text) < dump.PieceSize {
		if err := rows.next(b.values); err != nil {
			return err
		}
		if size(b.values) >= dump.Huge {
			if err := b.huge(); err != nil {
				return err
			}
		}
		if err := b.appendRow(to); err != nil {
			return err
		}
	}
	return nil
}

func size(values [][]byte) (n int) {
	for _, v := range values {
		n += len(v)
	}
	return n
}

func (b *batches) appendRow(to *batch) (err error) {
	from := len(to.text)
	member := true
	to.text = append(to.text, '(')
	for i, value := range b.values {
		if i > 0 {
			to.text = append(to.text, ',')
		}
		if value == nil {
			to.text = append(to.text, "NULL"...)
			continue
		}
		at := len(to.text)
		if to.text, err = b.encoders[i](to.text, value); err != nil {
			return err
		}
		if b.enum[i] && string(to.text[at:]) == "0" {
			member = false
		}
	}
	to.text = append(to.text, "),\n"...)
	to.rows = append(to.rows, row{end: len(to.text), member: member, cut: cuts(to.text[from:])})
	return nil
}

// cuts reports whether a statement that is long enough ends with this row.
func cuts(row []byte) bool {
	return uint64(crc32.Checksum(row, castagnoli))*meanStatement < uint64(len(row))<<32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// inserts yields the stream of one table: it makes statements of batches as it is read.
type inserts struct {
	next  func() (*batch, error) // io.EOF behind the last
	into  string                 // "INSERT IGNORE INTO `t` (`a`, `b`) VALUES\n"
	count uint64
	// longest is the length of the longest statement so far, in bytes.
	longest int

	batch *batch // of which rows, the first of them at from, have not been used
	rows  []row
	from  int

	text []byte // the statement that is being made
	rest []byte // of one that is ready
	last []byte // what ends it behind rest: large rows, in the batch
	done bool
}

func newInserts(t table, counter string, next func() (*batch, error)) *inserts {
	var names []string
	for _, c := range t.columns {
		names = append(names, quote(c.name))
	}
	into := fmt.Sprintf("INSERT IGNORE INTO %s (%s) VALUES\n", quote(t.name), strings.Join(names, ", "))
	return &inserts{next: next, into: into, batch: new(batch), rest: t.begin(counter)}
}

// Read implements io.Reader.
func (s *inserts) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if len(s.last) > 0 {
			s.rest, s.last = s.last, nil
			break
		}
		if s.done {
			return 0, io.EOF
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// fill makes the next statement, and behind the last one the end.
func (s *inserts) fill() error {
	s.text = append(s.text[:0], s.into...)
	members, ended := true, false
	for !ended {
		if len(s.rows) == 0 {
			var err error
			if s.batch, err = s.next(); err == io.EOF {
				s.done = true
				break
			} else if err != nil {
				return err
			}
			s.rows, s.from = s.batch.rows, 0
		}
		// As many rows as belong to the statement are taken at once.
		n, to := 0, s.from
		for n < len(s.rows) && !ended {
			members = members && s.rows[n].member
			to = s.rows[n].end
			size := len(s.text) - len(s.into) + to - s.from
			ended = size >= maxInsert || size >= minStatement && s.rows[n].cut
			n++
		}
		if rows := s.batch.text[s.from:to]; len(rows) < largeValue {
			s.text = append(s.text, rows...)
		} else {
			s.last = rows // and the end of the statement, which is long enough
		}
		s.count += uint64(n)
		s.rows, s.from = s.rows[n:], to
	}
	s.rest = nil
	if length := len(s.text) + len(s.last); length > len(s.into) {
		s.longest = max(s.longest, length-len(",\n"))
		text := s.text
		if s.last != nil {
			text = s.last
		}
		copy(text[len(text)-len(",\n"):], ";\n")
		s.rest = s.text
		if members {
			// INSERT in the place of IGNORE, and nothing in that of INSERT.
			s.rest = s.text[len("INSERT "):]
			copy(s.rest, "INSERT ")
		}
	}
	if s.done {
		s.rest = append(s.rest, end(s.count)...)
	}
	return nil
}
