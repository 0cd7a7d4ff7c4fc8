package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"strings"
)

// same reports whether the definition that was read before is still the table's:
// what it says, and when it was made.
func (s *session) same(ctx context.Context, t table) (bool, error) {
	create, _, err := s.definition(ctx, t)
	if err != nil {
		return false, err
	}
	var made string
	err = s.one(ctx, `SELECT COALESCE(create_time, '') FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name = `+literal(t.name), &made)
	if err != nil {
		return false, err
	}
	spaces, err := s.outside(ctx, t.name)
	return err == nil && made+spaces[t.name] == t.made && bytes.Equal(create, t.create), err
}

// spaces are, by table, the tablespaces that MySQL keeps tables in, those of partitions
// included: of one table, or "" for all. They go with the rows when tables take each other's
// names, or a table that of a partition. Tables that have none of their own are missing.
func (s *session) spaces(ctx context.Context, table string) (map[string]string, error) {
	if !s.server.mysql {
		return nil, nil
	}
	prefix := s.current + "/"
	condition := "name LIKE " + literal(likely(prefix)+"%")
	if table != "" {
		condition = "name = " + literal(prefix+table) + " OR name LIKE " + literal(likely(prefix+table)+"#%")
	}
	spaces := map[string]string{}
	err := s.each(ctx, "SELECT name, space FROM information_schema.innodb_tablespaces_brief WHERE "+condition+" ORDER BY name", func(rows *sql.Rows) error {
		var name, space string
		err := rows.Scan(&name, &space)
		of, _, _ := strings.Cut(strings.ReplaceAll(name[len(prefix):], "#P#", "#p#"), "#p#") // as later versions write it
		spaces[of] += " " + space
		return err
	})
	return spaces, err
}

// likely makes a pattern of LIKE that matches exactly text.
func likely(text string) string { return escapePattern(strings.ReplaceAll(text, `\`, `\\`)) }
