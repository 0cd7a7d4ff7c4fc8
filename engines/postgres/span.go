package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/engines/dump"
)

// key is one column of the key in whose order a table is read.
type key struct {
	column   string // quoted
	kind     string // its type, quoted and with its schema
	descends bool
}

func orderBy(keys []key) string {
	var list []string
	for _, k := range keys {
		if k.descends {
			k.column += " DESC"
		}
		list = append(list, k.column)
	}
	if list == nil {
		return ""
	}
	return " ORDER BY " + strings.Join(list, ", ")
}

// divisible reports whether a table can be read in parts.
func (t table) divisible() bool {
	return t.where == "" && !t.bare && !slices.ContainsFunc(t.key, func(k key) bool { return k.descends })
}

// span is a part of a table. Its bounds are values of all columns of the key, as SQL.
type span = dump.Span[string]

// within is the condition that a row is within the span.
func (t table) within(p span) string {
	var conditions []string
	if p.From != nil {
		conditions = append(conditions, t.keyColumns()+" >= "+*p.From)
	}
	if p.To != nil {
		conditions = append(conditions, t.keyColumns()+" < "+*p.To)
	}
	if conditions == nil {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

func (t table) keyColumns() string {
	var names []string
	for _, k := range t.key {
		names = append(names, k.column)
	}
	return "ROW(" + strings.Join(names, ", ") + ")"
}

// keyAfter returns the key of the row that comes so many rows behind another, nil
// behind the last.
func (s *session) keyAfter(ctx context.Context, t table, from *string, rows int64) (*string, error) {
	var columns []string
	for _, k := range t.key {
		columns = append(columns, k.column)
	}
	row, err := s.row(ctx, fmt.Sprintf("SELECT %s FROM ONLY %s%s%s OFFSET %d LIMIT 1",
		strings.Join(columns, ", "), t.quoted(), t.within(span{From: from}), t.order, rows))
	if errors.Is(err, errNoRow) {
		return nil, nil
	}
	if err != nil {
		return nil, lost(t, err)
	}
	for i, k := range t.key {
		row[i] = literal(row[i]) + "::" + k.kind
	}
	key := "ROW(" + strings.Join(row, ", ") + ")"
	return &key, nil
}

// indexed makes a session, until the end of the transaction or its savepoint, read a
// part of a table by its key's index, whatever the server's statistics make of it: a
// part that it wants to sort would mean reading all of the table for each.
const indexed = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"

// sorts reports whether the server would rather read all of a table and sort it than
// follow the key's index: rows lie in another order than their keys, and parts of such
// a table lie all over it.
func (s *session) sorts(ctx context.Context, t table) (bool, error) {
	rows, err := s.rows(ctx, "EXPLAIN (COSTS OFF) "+t.query(span{}))
	if err != nil {
		return false, lost(t, err)
	}
	return !strings.HasPrefix(rows[0][0], "Index"), nil
}
