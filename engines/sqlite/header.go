package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// headerSize is the length of the header at the begin of page 1
// (https://www.sqlite.org/fileformat.html, section 1.3).
const headerSize = 100

// Offsets in the header.
const (
	atPageSize   = 16
	atJournal    = 18 // write and read version: 1 rollback, 2 WAL
	atReserved   = 20
	atFractions  = 21
	atCounter    = 24
	atPages      = 28
	atCookie     = 40
	atEncoding   = 56
	atValidFor   = 92
	atVersion    = 96
	rollbackMode = 1
	walMode      = 2
)

const magic = "SQLite format 3\x00"

// header is what page 1 says about its database.
type header struct {
	pageSize int
	wal      bool
	pages    uint32 // 0 where the header cannot be trusted on it
	counter  uint32 // file change counter
	encoding uint32 // of text: 1 UTF-8, 2 and 3 UTF-16, 0 while there is no schema
	version  uint32 // of the SQLite that wrote last: 3040001
}

var errNoDatabase = errors.New("that is not an SQLite database, or an encrypted one")

// parseHeader reads the header at the begin of page; any bytes give a header or
// an error. It is as strict as SQLite is when it opens a file.
func parseHeader(page []byte) (header, error) {
	if len(page) < headerSize || string(page[:len(magic)]) != magic {
		return header{}, errNoDatabase
	}
	size := int(binary.BigEndian.Uint16(page[atPageSize:]))
	if size == 1 {
		size = 1 << 16
	}
	if size < 512 || size&(size-1) != 0 || size-int(page[atReserved]) < 480 {
		return header{}, fmt.Errorf("%w: page size %d", errNoDatabase, size)
	}
	if [3]byte(page[atFractions:]) != [3]byte{64, 32, 32} {
		return header{}, fmt.Errorf("%w: payload fractions", errNoDatabase)
	}
	mode := page[atJournal+1]
	if mode < rollbackMode || mode > walMode {
		return header{}, fmt.Errorf("%w: read version %d", errNoDatabase, mode)
	}
	h := header{
		pageSize: size,
		wal:      mode == walMode,
		counter:  binary.BigEndian.Uint32(page[atCounter:]),
		encoding: binary.BigEndian.Uint32(page[atEncoding:]),
		version:  binary.BigEndian.Uint32(page[atVersion:]),
	}
	if binary.BigEndian.Uint32(page[atValidFor:]) == h.counter {
		h.pages = binary.BigEndian.Uint32(page[atPages:])
	}
	return h, nil
}

// server names the SQLite that wrote the database last.
func (h header) server() string {
	if h.version == 0 {
		return "SQLite"
	}
	return fmt.Sprintf("SQLite %d.%d.%d", h.version/1000000, h.version/1000%1000, h.version%1000)
}

func (h header) position() string { return fmt.Sprintf("change counter %d", h.counter) }

// fitPage1 makes page, a page 1 that comes from elsewhere, fit to replace
// current. It keeps current's journal mode, which open connections have set up
// their locks for, if keepMode. And it keeps and returns current's schema cookie,
// so that our own connection does not read the schema anew while pages are being
// replaced; it has to be raised when they are, which is how all others notice.
func fitPage1(page, current []byte, keepMode bool) uint32 {
	if keepMode {
		copy(page[atJournal:atJournal+2], current[atJournal:])
	}
	copy(page[atCookie:atCookie+4], current[atCookie:])
	return binary.BigEndian.Uint32(current[atCookie:])
}
