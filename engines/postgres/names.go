package postgres

import (
	"fmt"
	"net/url"
	"strings"

	"holdfast/engines/dump"
)

// Names of what stands in a snapshot beside what stands in every dump.
const (
	databaseFile   = "database.sql"
	sequencesFile  = "sequences.sql"
	largeFile      = "largeobjects.sql"
	privilegesFile = "privileges.sql"
)

// fileName is the name of a table's file: schema.table.sql. A table may be called
// anything: what a file cannot be called, and '%' and '.', is written as %2F.
func fileName(schema, table string) string {
	return escape(schema) + "." + escape(table) + dump.Extension
}

func escape(name string) string {
	var text strings.Builder
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '%' || c == '.' {
			fmt.Fprintf(&text, "%%%02X", c)
			continue
		}
		text.WriteByte(c)
	}
	return text.String()
}

// parseFileName undoes fileName.
func parseFileName(file string) (schema, table string, err error) {
	name, isTable := strings.CutSuffix(file, dump.Extension)
	left, right, parted := strings.Cut(name, ".")
	if isTable && parted {
		if schema, err = url.PathUnescape(left); err == nil {
			table, err = url.PathUnescape(right)
		}
		if err == nil && fileName(schema, table) == file {
			return schema, table, nil
		}
	}
	return "", "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
}
