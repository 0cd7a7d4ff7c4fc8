package mysql

import (
	"fmt"
	"net/url"
	"strings"

	"holdfast/engines/dump"
)

// fileName is the name of a table's file. A table may be called anything: what a
// file cannot be called, and '%', is written as %2F.
func fileName(table string) string {
	var name strings.Builder
	for i, c := range []byte(table) {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '%' || c == '.' && i == 0 {
			fmt.Fprintf(&name, "%%%02X", c)
			continue
		}
		name.WriteByte(c)
	}
	return name.String() + dump.Extension
}

// tableName undoes fileName.
func tableName(file string) (string, error) {
	name, ok := strings.CutSuffix(file, dump.Extension)
	if !ok {
		return "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
	}
	table, err := url.PathUnescape(name)
	if err != nil || fileName(table) != file {
		return "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
	}
	return table, nil
}
