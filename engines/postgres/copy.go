package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"holdfast/engines/dump"
)

// copyBuffer is how much of a table is on its way at a time, in bytes.
const copyBuffer = 256 << 10

// begin is the stream's text before the first row.
func (t table) begin(encoding string) string {
	return fmt.Sprintf("-- Table %s\n\nSET client_encoding = '%s';\nSET search_path = '';\nSET DateStyle = 'ISO, MDY';\nSET lc_monetary = 'C';\n"+
		"%s;\n", dump.OneLine(t.label()), encoding, copyFrom(t.quoted(), t.stored()))
}

// copyFrom is the statement that loads rows into a table. One without columns to load,
// or with generated ones alone, has rows all the same: empty lines, which COPY takes
// only where no columns are listed.
func copyFrom(table, columns string) string {
	if columns == "" {
		return "COPY " + table + " FROM stdin"
	}
	return "COPY " + table + " (" + columns + ") FROM stdin"
}

// saidNoColumns is the last line of a stream that older snapshots have of a table without
// columns to load, whatever rows it had.
const saidNoColumns = "no columns with values"

// rowless is the stream of a table whose rows are left out.
func (t table) rowless() string {
	return fmt.Sprintf("-- Table %s\n\n-- %s\n", dump.OneLine(t.label()), dump.SaidLeftOut)
}

// end is the stream's text after the last row.
func end(count int64) string { return fmt.Sprintf("\\.\n-- %d rows\n", count) }

// chunk is some rows of a table, as they stand in its stream.
type chunk []byte

// reading is one table that is being read.
type reading struct {
	*dump.Ahead[chunk]
	count atomic.Int64 // of rows
}

// readAhead begins to read a table over sessions, each within its transaction; each
// has locked it, and lets it go when all rows were read.
func readAhead(ctx context.Context, t table, sessions []*session) *reading {
	r := new(reading)
	divider := dump.Divider[string]{
		Whole: len(sessions) == 1,
		After: func(ctx context.Context, lane int, from *string, rows int64) (*string, error) {
			return sessions[lane].keyAfter(ctx, t, from, rows)
		},
	}
	r.Ahead = dump.ReadAhead(ctx, dump.Reader[span, chunk]{
		Lanes: len(sessions), PartSize: sessions[0].place.reading.PartSize,
		Next: func(ctx context.Context, lane *dump.Lane[chunk]) (span, bool, error) {
			return divider.Next(ctx, lane.Number, lane.PartRows())
		},
		Read: func(ctx context.Context, lane *dump.Lane[chunk], p span) error {
			count, err := sessions[lane.Number].copyOut(ctx, t, p, lane)
			r.count.Add(count)
			return err
		},
		GiveUp: func() {
			for _, s := range sessions {
				s.end() // and with it the lock
			}
		},
		Done: func(ctx context.Context) error {
			for _, s := range sessions {
				if err := s.exec(ctx, "ROLLBACK TO SAVEPOINT holdfast; RELEASE SAVEPOINT holdfast"); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return r
}

// copyOut reads a part of a table and returns how many rows it has.
func (s *session) copyOut(ctx context.Context, t table, p span, lane *dump.Lane[chunk]) (int64, error) {
	w := chunks{ctx: ctx, lane: lane}
	copied, err := s.CopyTo(ctx, &w, "COPY ("+t.query(p)+") TO STDOUT")
	if err == nil {
		return copied.RowsAffected(), w.flush()
	}
	return 0, lost(t, s.place.explain(ctx, "read", err))
}

// chunks hands rows over, each of which is written to it by itself.
type chunks struct {
	ctx  context.Context
	lane *dump.Lane[chunk]
	now  *chunk // nil: none was begun
	rows int    // in it
}

// Write implements io.Writer.
func (w *chunks) Write(row []byte) (int, error) {
	if w.now == nil {
		w.now = w.lane.Fresh()
		*w.now = (*w.now)[:0]
	}
	*w.now = append(*w.now, row...)
	w.rows++
	if len(*w.now) < dump.PieceSize {
		return len(row), nil
	}
	return len(row), w.flush()
}

func (w *chunks) flush() error {
	full, rows := w.now, w.rows
	w.now, w.rows = nil, 0
	if full == nil {
		return nil
	}
	return w.lane.Put(w.ctx, full, len(*full), rows)
}

// stream yields the stream of a table.
type stream struct {
	from *reading
	rest []byte
	done bool
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.done {
			return 0, io.EOF
		}
		some, err := s.from.Next()
		switch {
		case err == io.EOF:
			s.rest, s.done = []byte(end(s.from.count.Load())), true
		case err != nil:
			return 0, err
		default:
			s.rest = *some
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// rowReader yields the rows of a stream, up to the line that ends them.
type rowReader struct {
	from *bufio.Reader
	rest []byte // of a line
	new  bool   // the next line begins a row
	done bool
	err  error // why there are no more rows
}

func newRowReader(from *bufio.Reader) *rowReader { return &rowReader{from: from, new: true} }

// Read implements io.Reader. A stream that ends without the line is an error.
func (r *rowReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.rest) > 0 {
			c := copy(p[n:], r.rest)
			n, r.rest = n+c, r.rest[c:]
			continue
		}
		if r.done {
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		if n > 0 && r.from.Buffered() == 0 {
			return n, nil
		}
		line, err := r.from.ReadSlice('\n')
		if r.new && bytes.Equal(line, []byte("\\.\n")) {
			r.done = true
			continue
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if err == io.EOF {
				err = fmt.Errorf("it ends inside the rows: %w", errScript)
			}
			r.err = err
			return n, err
		}
		r.new = err == nil
		// What ReadSlice returned is valid until the next read, which comes after.
		r.rest = line
	}
	return n, nil
}

// copyIn loads rows into a table and returns how many there were. That rows could
// not be read is told before what the server makes of it.
func (s *session) copyIn(ctx context.Context, statement string, rows *rowReader) (int64, error) {
	copied, err := s.CopyFrom(ctx, rows, statement)
	switch {
	case err == nil:
		return copied.RowsAffected(), nil
	case ctx.Err() == nil && rows.err != nil:
		return 0, rows.err
	}
	return 0, s.place.explain(ctx, "load", err)
}
