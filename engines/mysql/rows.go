package mysql

import (
	"fmt"
	"strings"

	"holdfast/engines/dump"
)

// dataMode is the sql_mode under which rows are loaded: what does not fit is an
// error, and what is odd but stored somewhere is not.
const dataMode = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"

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
	saidSchemaOnly = dump.SaidLeftOut
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

// query is the SELECT that reads a part of the table.
func (t table) query(p span) string {
	var list []string
	for _, c := range t.columns {
		list = append(list, c.selected(t.server))
	}
	history := ""
	if t.history {
		history = " FOR SYSTEM_TIME ALL"
	}
	return "SELECT SQL_NO_CACHE " + strings.Join(list, ", ") + " FROM " + quote(t.name) + history + t.force + t.where(p) + t.order
}
