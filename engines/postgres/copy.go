package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"holdfast/engines/dump"
)

// copyBuffer is how much of a table is on its way at a time, in bytes.
const copyBuffer = 256 << 10

// begin is the stream's text before the first row.
func (t table) begin(encoding string) string {
	return fmt.Sprintf("-- Table %s\n\nSET client_encoding = '%s';\nSET search_path = '';\nSET DateStyle = 'ISO, MDY';\nSET lc_monetary = 'C';\n"+
		"COPY %s (%s) FROM stdin;\n", dump.OneLine(t.label()), encoding, t.quoted(), t.stored())
}

// The last lines of streams that hold no rows, for what reason.
const (
	saidBare      = "rows left out"
	saidNoColumns = "no columns with values"
)

// rowless is the stream of a table without rows; ok is whether this is one.
func (t table) rowless() (text string, ok bool) {
	switch {
	case t.bare:
		text = saidBare
	case t.stored() == "":
		text = saidNoColumns
	default:
		return "", false
	}
	return fmt.Sprintf("-- Table %s\n\n-- %s\n", dump.OneLine(t.label()), text), true
}

// end is the stream's text after the last row.
func end(count int64) string { return fmt.Sprintf("\\.\n-- %d rows\n", count) }

// copyOut lets use read the stream of a table, which is called shown in it.
func (s *session) copyOut(ctx context.Context, t, shown table, encoding string, use func(io.Reader) error) error {
	read, write := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Whoever reads may be slow; the table is let go all the same.
	stop := context.AfterFunc(ctx, func() { _ = read.CloseWithError(context.Cause(ctx)) })
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		err := s.writeRows(ctx, t, shown.begin(encoding), write)
		_ = write.CloseWithError(err) // never fails
		return err
	})
	err := use(read)
	if err != nil {
		cancel() // or the rest of the table would be read
	}
	_ = read.CloseWithError(io.ErrClosedPipe) // never fails
	if writing := group.Wait(); writing != nil && (err == nil || errors.Is(err, writing)) {
		return writing
	}
	return err
}

func (s *session) writeRows(ctx context.Context, t table, begin string, to io.Writer) error {
	w := bufio.NewWriterSize(to, copyBuffer)
	if _, err := w.WriteString(begin); err != nil {
		return err
	}
	copied, err := s.CopyTo(ctx, w, "COPY ("+t.query()+") TO STDOUT")
	if err != nil {
		return fmt.Errorf("table %s: %w", t.label(), s.place.explain(ctx, "read", err))
	}
	if _, err := w.WriteString(end(copied.RowsAffected())); err != nil {
		return err
	}
	return w.Flush()
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
