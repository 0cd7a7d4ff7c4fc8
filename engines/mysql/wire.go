package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
)

// wire is the connection beneath a session, which lets rows be taken before the driver
// sees them. The driver makes a value of every field, each an allocation, and that costs
// more than all else that is done with a row. What comes before a result's rows and what
// comes behind them the driver does see, numbered as if there were no rows: it alone
// knows of errors, of transactions and of what client and server have agreed upon.
//
// The packets are those of
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html
//
// Invariant: while the driver reads a result's head it gets no byte of the rows, and
// what it has been given of a packet is followed by the rest of it.
type wire struct {
	net.Conn
	buffer   []byte // of what the connection has brought, buffer[from:to] was not used yet
	from, to int

	part     part
	columns  int   // definitions of columns that are still to come
	rest     int   // bytes of a packet that is being given to the driver
	sequence uint8 // number of the last packet that it was given
}

// part is what comes next of a result.
type part int

const (
	anything part = iota // nothing is to be taken
	first                // how many columns there are, or that there is no result
	head                 // the definitions of columns, and a mark behind them in older protocols
	body                 // rows
)

const (
	wireBuffer = 64 << 10 // as much as a read brings, in bytes
	// wireKeep is how large a buffer may stay that has become larger for a large row.
	wireKeep = 4 * wireBuffer
	// maxPacket is the length of packets that another one continues, in bytes.
	maxPacket = 1<<24 - 1
	// maxField is the largest max_allowed_packet, which no row exceeds, in bytes.
	maxField = 1 << 30
	// First bytes of packets. Where a row begins with markEnd, its first field takes more than a packet.
	markOK, markFile, markEnd, markError = 0x00, 0xfb, 0xfe, 0xff
	// oldMark is the length of the mark behind definitions of columns, in bytes; the one behind rows
	// that protocols without it have is longer.
	oldMark = 5
)

// wireKey is under which a context holds where to put the wire that is made.
type wireKey struct{}

// dialWire connects as the driver would. It puts the wire where the context says.
func dialWire(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn}
	if to, ok := ctx.Value(wireKey{}).(**wire); ok {
		*to = w
	}
	return w, nil
}

// take has the rows of the next query's result left to next.
func (w *wire) take() { w.part, w.sequence = first, 0 }

// Read implements net.Conn, for the driver.
func (w *wire) Read(p []byte) (int, error) {
	if w.rest == 0 && w.part != anything {
		if err := w.lead(); err != nil {
			return 0, err
		}
	}
	limit := len(p)
	if w.rest > 0 {
		if _, err := w.peek(1); err != nil {
			return 0, err
		}
		limit = min(limit, w.rest)
	} else if w.from == w.to {
		return w.Conn.Read(p)
	}
	n := copy(p[:limit], w.buffer[w.from:w.to])
	w.from += n
	w.rest = max(0, w.rest-n)
	return n, nil
}

// lead looks at the packet that the driver is to be given next.
func (w *wire) lead() error {
	n, mark, err := w.packet()
	if err != nil {
		return err
	}
	switch {
	case w.part == first && mark != markOK && mark != markFile && mark != markError:
		count, err := w.peek(headerSize + min(n, 9))
		if err != nil {
			return err
		}
		columns, size := lengthOf(count[headerSize:])
		if size == 0 {
			return errMalformed
		}
		w.part, w.columns = head, int(columns)
	case w.part == head && w.columns > 0:
		w.columns--
	case w.part == head && mark == markEnd && n == oldMark:
		w.part = body
	default: // there are no rows, or nobody wants them any more
		w.part = anything
		return nil
	}
	w.rest = headerSize + n
	w.sequence++
	return nil
}

// next returns the next row, which is valid until it is called again. io.EOF says that
// there is none: what comes instead is for the driver to read.
func (w *wire) next() ([]byte, error) {
	if w.part == head && w.columns == 0 && w.rest == 0 {
		w.part = body
	}
	if w.part != body {
		return nil, io.EOF
	}
	if len(w.buffer) > wireKeep && w.to-w.from <= wireBuffer {
		w.move(make([]byte, wireBuffer))
	}
	n, mark, err := w.packet()
	if err != nil {
		return nil, err
	}
	if mark == markError || mark == markEnd && n < maxPacket {
		w.part = anything
		w.buffer[w.from+3] = w.sequence + 1
		return nil, io.EOF
	}
	if n == maxPacket {
		return w.join()
	}
	packet, err := w.peek(headerSize + n)
	if err != nil {
		return nil, err
	}
	w.from += len(packet)
	return packet[headerSize:], nil
}

// join reads a row of several packets, of which the first is next. It is copied once, into
// as much memory as it takes, as far as the lengths of its fields tell.
func (w *wire) join() ([]byte, error) {
	begin, err := w.peek(wireBuffer)
	if err != nil {
		return nil, err
	}
	end := extent(begin[headerSize:], 0)
	var row []byte
	for {
		n, err := w.length()
		if err != nil {
			return nil, err
		}
		w.from += headerSize
		have := len(row)
		row = slices.Grow(row, max(n, end-have))[:have+n]
		if err := w.full(row[have:]); err != nil {
			return nil, err
		}
		if n < maxPacket {
			return row, nil
		}
		end = extent(row, end)
	}
}

// extent returns how long a row is at least, of which that much is known and field is where
// one of its fields begins.
func extent(row []byte, field int) int {
	for field < len(row) {
		if row[field] == 0xfb {
			field++
			continue
		}
		n, size := lengthOf(row[field:])
		if size == 0 || n > maxField {
			return field // it is for cutRow to say so
		}
		field += size + int(n)
	}
	return field
}

// full fills p.
func (w *wire) full(p []byte) error {
	n := copy(p, w.buffer[w.from:w.to])
	w.from += n
	_, err := io.ReadFull(w.Conn, p[n:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

const headerSize = 4 // of a packet: its length in three bytes, and its number

// length returns the length of the next packet, in bytes without its header.
func (w *wire) length() (int, error) {
	h, err := w.peek(headerSize)
	if err != nil {
		return 0, err
	}
	return int(h[0]) | int(h[1])<<8 | int(h[2])<<16, nil
}

// packet returns the length of the next packet, and the first byte of what is in it.
func (w *wire) packet() (n int, mark byte, err error) {
	if n, err = w.length(); err != nil {
		return 0, 0, err
	}
	if n == 0 {
		return 0, 0, errMalformed
	}
	h, err := w.peek(headerSize + 1)
	if err != nil {
		return 0, 0, err
	}
	return n, h[headerSize], nil
}

// peek returns the next n bytes without using them.
func (w *wire) peek(n int) ([]byte, error) {
	if w.from+n > len(w.buffer) {
		into := w.buffer
		if n > len(into) {
			into = make([]byte, max(n, wireBuffer))
		}
		w.move(into)
	}
	for w.to-w.from < n {
		more, err := w.Conn.Read(w.buffer[w.to:])
		w.to += more
		if err != nil && w.to-w.from < n {
			if err == io.EOF && w.to > w.from {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return w.buffer[w.from : w.from+n], nil
}

// move moves what was not used to the beginning of a buffer, which may be the same.
func (w *wire) move(into []byte) {
	w.to = copy(into, w.buffer[w.from:w.to])
	w.from, w.buffer = 0, into
}

var errMalformed = errors.New("the server sent a malformed packet")

// cutRow cuts a row into its values: one for each column, nil for NULL.
func cutRow(row []byte, values [][]byte) error {
	for i := range values {
		if len(row) > 0 && row[0] == 0xfb {
			values[i], row = nil, row[1:]
			continue
		}
		n, size := lengthOf(row)
		if size == 0 || n > uint64(len(row)-size) {
			return errMalformed
		}
		row = row[size:]
		values[i], row = row[:n:n], row[n:]
	}
	if len(row) > 0 {
		return errMalformed
	}
	return nil
}

// lengthOf reads a number as lengths are written, of 1, 3, 4 or 9 bytes. size is 0 if there is none.
func lengthOf(b []byte) (n uint64, size int) {
	switch {
	case len(b) >= 1 && b[0] < 0xfb:
		return uint64(b[0]), 1
	case len(b) >= 3 && b[0] == 0xfc:
		return uint64(binary.LittleEndian.Uint16(b[1:])), 3
	case len(b) >= 4 && b[0] == 0xfd:
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case len(b) >= 9 && b[0] == 0xfe:
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return 0, 0
}
