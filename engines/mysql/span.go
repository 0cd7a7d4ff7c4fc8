package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/engines/dump"
)

// span is a part of a table. Its bounds are values of all columns of the primary key,
// as SQL.
type span = dump.Span[[]string]

// where is the condition that a row is within the span.
func (t table) where(p span) string {
	var conditions []string
	if p.From != nil {
		conditions = append(conditions, beyond(t.key, *p.From, ">", ">="))
	}
	if p.To != nil {
		conditions = append(conditions, beyond(t.key, *p.To, "<", "<"))
	}
	if conditions == nil {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// beyond compares a key with values, column by column: the servers do not use an index
// for a comparison of rows. last compares the last column.
func beyond(key []column, values []string, compare, last string) string {
	name := quote(key[0].name)
	if len(key) == 1 {
		return fmt.Sprintf("%s %s %s", name, last, values[0])
	}
	// The first comparison says nothing new, but the optimizer sees a range in it.
	return fmt.Sprintf("%s %s= %s AND (%s %s %s OR (%s))", name, compare, values[0], name, compare, values[0],
		beyond(key[1:], values[1:], compare, last))
}

// keyAfter returns the primary key of the row that comes so many rows behind a key, nil
// behind the last.
func (s *session) keyAfter(ctx context.Context, t table, from *[]string, rows int64) (*[]string, error) {
	var list []string
	values, into := make([]any, len(t.key)), make([]any, len(t.key))
	for i, c := range t.key {
		list = append(list, quote(c.name))
		into[i] = &values[i]
	}
	query := fmt.Sprintf("SELECT SQL_NO_CACHE %s FROM %s%s%s%s LIMIT 1 OFFSET %d",
		strings.Join(list, ", "), quote(t.name), t.force, t.where(span{From: from}), t.order, rows)
	err := s.one(ctx, query, into...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, lost(t, err)
	}
	bound := make([]string, len(values))
	for i, c := range t.key {
		bound[i] = c.bound(values[i])
	}
	return &bound, nil
}

// bound is a value of a key's column as SQL that compares with the column as that very
// value does, whatever the collation: text comes in the column's own character set.
func (c column) bound(value any) string {
	text, ok := value.([]byte)
	switch {
	case !ok: // the driver has made a number of it
		return fmt.Sprint(value)
	case slices.Contains(numeric, c.kind):
		return string(text)
	case c.charset != "":
		return fmt.Sprintf("_%s X'%x'", c.charset, text)
	case c.kind == "binary" || c.kind == "varbinary":
		return fmt.Sprintf("X'%x'", text)
	}
	return literal(string(text))
}

// numeric and other types are those by whose values a table can be divided: they compare
// as they are ordered (members of an ENUM do not), and their values can be written down
// exactly (those of a FLOAT cannot).
var (
	numeric = []string{"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"}
	other   = []string{"char", "varchar", "binary", "varbinary", "date", "datetime", "timestamp", "uuid"}
)

// divisible returns the columns of a key by which a table can be read in parts, nil if
// it cannot: where there are no snapshots a row could move from one part to another.
func divisible(t table, keys []key) []column {
	if !t.snapshots || t.versioned || t.rowless() {
		return nil
	}
	var columns []column
	for _, k := range keys {
		i := slices.IndexFunc(t.columns, func(c column) bool { return quote(c.name) == k.column })
		if i < 0 || k.prefix || !slices.Contains(numeric, t.columns[i].kind) && !slices.Contains(other, t.columns[i].kind) {
			return nil
		}
		columns = append(columns, t.columns[i])
	}
	return columns
}

// readAhead begins to read a table over sessions, each within its transaction; huge rows
// await their turn. done is called when all rows were read.
func readAhead(ctx context.Context, t table, sessions []*session, huge dump.Turn, done func(context.Context) error) *dump.Ahead[batch] {
	divider := dump.Divider[[]string]{
		Whole: len(sessions) == 1,
		After: func(ctx context.Context, lane int, from *[]string, rows int64) (*[]string, error) {
			return sessions[lane].keyAfter(ctx, t, from, rows)
		},
	}
	return dump.ReadAhead(ctx, dump.Reader[span, batch]{
		Lanes: len(sessions), Huge: huge, PartSize: sessions[0].place.reading.PartSize, Done: done,
		GiveUp: func() {
			for _, s := range sessions {
				_ = s.Close() // it may be gone already; the table is let go with it
			}
		},
		Next: func(ctx context.Context, lane *dump.Lane[batch]) (span, bool, error) {
			return divider.Next(ctx, lane.Number, lane.PartRows())
		},
		Read: func(ctx context.Context, lane *dump.Lane[batch], p span) error {
			return sessions[lane.Number].readSpan(ctx, t, p, lane)
		},
	})
}
