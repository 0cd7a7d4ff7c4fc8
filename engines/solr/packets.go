package solr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"holdfast/engines"
)

// A file comes as packets (Solr's DirectoryFileStream): the length as a signed
// big-endian 32-bit number, the Adler-32 of the data as a 64-bit one, the data. A
// length of 0 has no checksum and ends the file.

const (
	// maxPacket is the server's bound, in bytes.
	maxPacket = 1 << 20
	// maxFailures is how many connections in a row may give not one good packet.
	maxFailures = 5
)

var (
	// errDamaged says that a packet is not what was sent.
	errDamaged = errors.New("a packet is damaged")
	// errSize says that a file is shorter or longer than was listed.
	errSize = errors.New("it is not as long as listed")
)

// readPacket reads one packet, into buf if it fits. At the end of the file it
// returns io.EOF; a stream that just stops gives io.ErrUnexpectedEOF.
func readPacket(from io.Reader, buf []byte) ([]byte, error) {
	var head [12]byte
	if _, err := io.ReadFull(from, head[:4]); err != nil {
		return nil, unexpected(err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 {
		return nil, io.EOF
	}
	if length > maxPacket {
		return nil, fmt.Errorf("a packet of %d bytes: %w", length, errDamaged)
	}
	if _, err := io.ReadFull(from, head[4:]); err != nil {
		return nil, unexpected(err)
	}
	if cap(buf) < int(length) {
		buf = make([]byte, length)
	}
	data := buf[:length]
	if _, err := io.ReadFull(from, data); err != nil {
		return nil, unexpected(err)
	}
	if uint64(adler32.Checksum(data)) != binary.BigEndian.Uint64(head[4:]) {
		return nil, errDamaged
	}
	return data, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writePacket writes data, at most maxPacket bytes, as one packet; none end the file.
func writePacket(to io.Writer, data []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	if len(data) > 0 {
		head = binary.BigEndian.AppendUint64(head, uint64(adler32.Checksum(data)))
	}
	if _, err := to.Write(head); err != nil {
		return err
	}
	_, err := to.Write(data)
	return err
}

// The parameters that name a file, by its kind.
const (
	indexKind  = "file"
	configKind = "cf"
)

// fetching reads one file of a core over the replication handler. Where a
// connection breaks it goes on from the last good packet.
type fetching struct {
	ctx        context.Context
	place      place
	core       string
	generation int64
	kind       string // indexKind or configKind
	name       string
	size       int64

	body     io.ReadCloser // nil between connections
	buf      []byte
	rest     []byte // of the last good packet
	offset   int64  // where the last good packet ends
	failures int
}

// Read implements io.Reader.
func (f *fetching) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.offset == f.size {
			return 0, f.end()
		}
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// end is called once all bytes are there: nothing may follow.
func (f *fetching) end() error {
	if f.body == nil {
		return io.EOF
	}
	_, err := readPacket(f.body, f.buf)
	f.close()
	if err == nil {
		return f.fail(errSize)
	}
	return io.EOF // where the mark of the end is missing, the file is whole nevertheless
}

// next reads the next packet, over a new connection if need be.
func (f *fetching) next() error {
	err := f.try()
	if err == nil {
		f.failures = 0
		return nil
	}
	f.close()
	f.failures++
	if f.ctx.Err() != nil || f.failures >= maxFailures || code(err) != 0 {
		return f.fail(err)
	}
	select {
	case <-f.ctx.Done():
	case <-time.After(time.Duration(f.failures) * 50 * time.Millisecond):
	}
	return nil
}

func (f *fetching) try() (err error) {
	if f.body == nil {
		parameters := query("command", "filecontent", f.kind, f.name, "wt", "filestream", "checksum", "true")
		if f.kind == indexKind {
			parameters.Set("generation", strconv.FormatInt(f.generation, 10))
		}
		if f.offset > 0 {
			parameters.Set("offset", strconv.FormatInt(f.offset, 10))
		}
		if f.body, err = f.place.get(f.ctx, "/"+f.core+"/replication", parameters); err != nil {
			return err
		}
	}
	if f.buf == nil {
		f.buf = make([]byte, min(f.size, maxPacket))
	}
	data, err := readPacket(f.body, f.buf)
	if err == io.EOF {
		return fmt.Errorf("it ends after %d of %d bytes: %w", f.offset, f.size, errSize)
	}
	if err != nil {
		return err
	}
	if int64(len(data)) > f.size-f.offset {
		return fmt.Errorf("it has more than %d bytes: %w", f.size, errSize)
	}
	f.rest = data
	f.offset += int64(len(data))
	return nil
}

// fail says why a file could not be read: that what was marked is gone, if so.
func (f *fetching) fail(err error) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	if f.kind == configKind && errors.Is(err, errSize) {
		return fmt.Errorf("%s was replaced while it was read: %w: %w", f.name, err, engines.ErrPointLost)
	}
	if f.kind == indexKind {
		if _, lost := f.place.files(f.ctx, f.core, f.generation); errors.Is(lost, engines.ErrPointLost) {
			return fmt.Errorf("read %s: %w", f.name, lost)
		}
	}
	return f.place.explain(f.ctx, "read "+f.name, err)
}

func (f *fetching) close() {
	if f.body != nil {
		_ = f.body.Close() // what came is checked by itself
		f.body = nil
	}
}

// footer is the length of the checksum at the end of a file of Lucene's.
const footer = 8

// verifying reads a file of an index, and gives an error in place of the end if
// it is not what the server has listed.
type verifying struct {
	from io.Reader
	file indexFile
	at   int64
	sum  hash.Hash32
	tail []byte
}

func newVerifying(from io.Reader, file indexFile) *verifying {
	return &verifying{from: from, file: file, sum: crc32.NewIEEE()}
}

// Read implements io.Reader.
func (v *verifying) Read(p []byte) (int, error) {
	n, err := v.from.Read(p)
	summed := min(int64(n), max(0, v.file.Size-footer-v.at))
	v.sum.Write(p[:summed])
	v.tail = append(v.tail, p[summed:n]...)
	v.at += int64(n)
	if len(v.tail) > footer {
		return 0, v.wrong("is longer than listed")
	}
	if err != io.EOF {
		return n, err
	}
	switch {
	case v.at != v.file.Size:
		return 0, v.wrong(fmt.Sprintf("has %d bytes", v.at))
	case v.file.Checksum == 0: // nothing is known
	case int64(v.sum.Sum32()) != v.file.Checksum || binary.BigEndian.Uint64(v.tail) != uint64(v.file.Checksum):
		return 0, v.wrong("does not have its checksum: the index is damaged, see Lucene's CheckIndex")
	}
	return n, io.EOF
}

func (v *verifying) wrong(what string) error {
	return fmt.Errorf("%s (%d bytes) %s", v.file.Name, v.file.Size, what)
}
