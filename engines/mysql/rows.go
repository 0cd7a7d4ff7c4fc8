package mysql

import (
	sqldriver "database/sql/driver"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// Bounds of one INSERT, in bytes. Between them it ends where the rows' own bytes
// say so, on average after another meanStatement, so that a row more or less
// changes the next few statements and not all that follow.
const (
	minStatement  = 16 << 10
	meanStatement = 16 << 10
	maxInsert     = 64 << 10
)

// dataMode is the sql_mode under which rows are loaded: what does not fit is an
// error, and what is odd but stored somewhere is not.
const dataMode = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"

// rowReader yields the stream of one table: it fetches rows as it is read.
type rowReader struct {
	rows     sqldriver.Rows
	encoders []encoder
	enum     []bool // columns where 0 is what strict mode refuses
	values   []sqldriver.Value
	into     string // "INTO `t` (`a`, `b`) VALUES\n"
	count    uint64

	body []byte // the rows of a statement
	text []byte // what is ready
	at   int    // how much of it was read
	done bool
	err  error // why rows could not be read
}

// begin is the stream's text before the first row.
func (t table) begin(counter string) []byte {
	text := fmt.Appendf(nil, "-- Table %s\n%s", quote(t.name), header(dataMode))
	if !t.server.mysql {
		text = append(text, "/*M!100508 SET check_constraint_checks = 0 */;\n"...)
	}
	if t.history {
		text = append(text, "/*M!101100 SET system_versioning_insert_history = 1 */;\n"...)
	}
	if counter != "" {
		text = fmt.Appendf(text, "ALTER TABLE %s AUTO_INCREMENT = %s;\n", quote(t.name), counter)
	}
	return append(text, "START TRANSACTION;\n"...)
}

// end is the stream's text after the last row.
func end(count uint64) []byte { return fmt.Appendf(nil, "COMMIT;\n-- %d rows\n", count) }

// The last lines of streams that hold no rows, for what reason.
const (
	saidRemote     = "no rows"
	saidSchemaOnly = "rows left out"
)

// rowless reports whether the table's rows are not saved.
func (t table) rowless() bool { return t.remote || t.schemaOnly }

// withoutRows is the stream of such a table.
func (t table) withoutRows() []byte {
	said := saidRemote
	if t.schemaOnly {
		said = saidSchemaOnly
	}
	return fmt.Appendf(t.begin(""), "COMMIT;\n-- %s\n", said)
}

// query is the SELECT that reads the table.
func (t table) query() string {
	var list []string
	for _, c := range t.columns {
		list = append(list, c.selected(t.server))
	}
	history := ""
	if t.history {
		history = " FOR SYSTEM_TIME ALL"
	}
	return "SELECT SQL_NO_CACHE " + strings.Join(list, ", ") + " FROM " + quote(t.name) + history + t.order
}

// newRowReader reads a table over rows, which its query gave.
func newRowReader(t table, counter string, rows sqldriver.Rows) *rowReader {
	r := &rowReader{rows: rows, values: make([]sqldriver.Value, len(t.columns)), text: t.begin(counter)}
	var names []string
	for _, c := range t.columns {
		names = append(names, quote(c.name))
		r.encoders = append(r.encoders, c.encoder())
		r.enum = append(r.enum, c.kind == "enum")
	}
	r.into = fmt.Sprintf("INTO %s (%s) VALUES\n", quote(t.name), strings.Join(names, ", "))
	return r
}

// Read implements io.Reader.
func (r *rowReader) Read(p []byte) (int, error) {
	for r.at == len(r.text) {
		if r.done {
			return 0, io.EOF
		}
		r.text, r.at = r.text[:0], 0
		if r.err = r.fill(); r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.text[r.at:])
	r.at += n
	return n, nil
}

// fill makes the next statement, and behind the last one the end.
func (r *rowReader) fill() error {
	insert := "INSERT "
	r.body = r.body[:0]
	for {
		err := r.rows.Next(r.values)
		if err == io.EOF {
			r.done = true
			break
		}
		if err != nil {
			return err
		}
		r.count++
		from := len(r.body)
		member, err := r.appendRow()
		if err != nil {
			return err
		}
		if !member {
			insert = "INSERT IGNORE "
		}
		if endsStatement(r.body, from) {
			break
		}
	}
	if len(r.body) > 0 {
		r.text = append(append(append(r.text, insert...), r.into...), r.body[:len(r.body)-2]...)
		r.text = append(r.text, ";\n"...)
	}
	if r.done {
		r.text = append(r.text, end(r.count)...)
	}
	return nil
}

// appendRow appends the values to the body. It reports whether every ENUM in it
// has a member as its value.
func (r *rowReader) appendRow() (member bool, err error) {
	member = true
	r.body = append(r.body, '(')
	for i, value := range r.values {
		if i > 0 {
			r.body = append(r.body, ',')
		}
		if value == nil {
			r.body = append(r.body, "NULL"...)
			continue
		}
		from := len(r.body)
		if r.body, err = r.encoders[i](r.body, value); err != nil {
			return false, err
		}
		if r.enum[i] && string(r.body[from:]) == "0" {
			member = false
		}
	}
	r.body = append(r.body, "),\n"...)
	return member, nil
}

// endsStatement reports whether a statement ends with the row that begins at from.
func endsStatement(body []byte, from int) bool {
	row := body[from:]
	return len(body) >= maxInsert || len(body) >= minStatement &&
		uint64(crc32.Checksum(row, castagnoli))*meanStatement < uint64(len(row))<<32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
