package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// findings is what a check of a database found.
type findings struct {
	damage  string   // the first thing that is broken, or ""
	oddness []string // rows that break their table's own rules, tables that could not be checked
}

// check runs integrity_check or quick_check. Tables that need a collation or
// function of the application's own cannot be checked by anybody else: those are
// left out by name, and all others are checked.
func (d *database) check(ctx context.Context, pragma string) (findings, error) {
	found, err := d.checkWhole(ctx, pragma, "")
	if !is(err, sqlite3.SQLITE_ERROR) {
		return found, explain(d.path, err)
	}
	tables, err := d.tables(ctx)
	if err != nil {
		return findings{}, err
	}
	found = findings{}
	for _, table := range append([]string{"sqlite_schema"}, tables...) {
		one, err := d.checkWhole(ctx, pragma, table)
		switch {
		case is(err, sqlite3.SQLITE_ERROR):
			found.oddness = append(found.oddness, fmt.Sprintf("table %s could not be checked: %v", table, err))
		case err != nil:
			return findings{}, explain(d.path, err)
		case found.damage == "":
			found.damage = one.damage
			found.oddness = append(found.oddness, one.oddness...)
		}
	}
	return found, nil
}

// checkWhole checks one table, or with "" everything.
func (d *database) checkWhole(ctx context.Context, pragma, table string) (found findings, err error) {
	query := "PRAGMA " + pragma
	if table != "" {
		query += "(" + quote(table) + ")"
	}
	rows, err := d.QueryContext(ctx, query)
	if err != nil {
		return damageOf(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return findings{}, err
		}
		switch {
		case line == "ok":
		case brokenRule(line):
			if len(found.oddness) < 10 {
				found.oddness = append(found.oddness, line)
			}
		case found.damage == "":
			found.damage = strings.Join(strings.Fields(strings.TrimPrefix(line, "*** in database main ***")), " ")
		}
	}
	if err := rows.Err(); err != nil {
		return damageOf(err)
	}
	return found, nil
}

// damageOf makes a finding of an error that says the database is damaged.
func damageOf(err error) (findings, error) {
	if is(err, sqlite3.SQLITE_CORRUPT) || is(err, sqlite3.SQLITE_NOTADB) {
		return findings{damage: err.Error()}, nil
	}
	return findings{}, err
}

// brokenRule tells rows that break a constraint, which a site can live with for
// years, from damage.
func brokenRule(line string) bool {
	for _, begin := range []string{"NULL value in ", "TEXT value in ", "NUMERIC value in ", "CHECK constraint failed in "} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return strings.HasPrefix(line, "non-") && strings.Contains(line, " value in ")
}

// tables lists the tables that applications made.
func (d *database) tables(ctx context.Context) ([]string, error) {
	rows, err := d.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, explain(d.path, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, explain(d.path, err)
		}
		names = append(names, name)
	}
	return names, explain(d.path, errors.Join(rows.Err(), rows.Close()))
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
