package corpus

import (
	"fmt"
	"regexp"
	"strings"
)

// settings let a server read the strings as they are written, and load quickly.
func (d Dialect) settings() string {
	if d == Postgres {
		return "SET client_encoding = 'UTF8'; SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on;\n"
	}
	return "SET NAMES utf8mb4, foreign_key_checks = 0, unique_checks = 0;\n"
}

// postgresTypes are what types of MySQL are called in PostgreSQL.
var postgresTypes = strings.NewReplacer("bigint unsigned", "bigint", "tinytext", "text", "longtext", "text", "longblob", "text",
	"datetime", "timestamp", "tinyint", "smallint", "`", "")

var uniqueKey = regexp.MustCompile("UNIQUE KEY `\\w+` ")

// create makes the statements that create a table, from columns and keys as MySQL has
// them, a line each.
func (d Dialect) create(table, columns string) string {
	if d != Postgres {
		return fmt.Sprintf("CREATE TABLE `%s` (\n%s\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n", table, columns)
	}
	var indexes strings.Builder
	for _, line := range strings.Split(columns, ",\n") {
		if name, on, isKey := strings.Cut(strings.TrimPrefix(line, "  KEY "), " "); isKey && strings.HasPrefix(line, "  KEY ") {
			fmt.Fprintf(&indexes, "CREATE INDEX %s_%s ON %s %s;\n", table, strings.Trim(name, "`"), table, strings.ReplaceAll(on, "`", ""))
			columns = strings.Replace(columns, ",\n"+line, "", 1)
		}
	}
	columns = postgresTypes.Replace(uniqueKey.ReplaceAllString(columns, "UNIQUE "))
	return fmt.Sprintf("CREATE TABLE %s (\n%s\n);\n%s", table, columns, indexes.String())
}

var columnName = regexp.MustCompile("(?m)^  `(\\w+)`")

// replace is what stands before and behind rows that may be there already.
func (d Dialect) replace(t table) (head, tail string) {
	if d != Postgres {
		return "REPLACE INTO `" + t.name + "` VALUES ", ""
	}
	var set []string
	for _, m := range columnName.FindAllStringSubmatch(t.columns, -1) {
		if m[1] != "id" {
			set = append(set, m[1]+" = EXCLUDED."+m[1])
		}
	}
	return "INSERT INTO " + t.name + " VALUES ", " ON CONFLICT (id) DO UPDATE SET " + strings.Join(set, ", ")
}
