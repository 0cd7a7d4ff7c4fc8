package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"holdfast/engines"
)

// table is a base table or a sequence, as it is defined.
type table struct {
	name     string
	server   server
	sequence bool
	engine   string
	// snapshots is whether its engine gives a consistent snapshot.
	snapshots bool
	// remote is whether the rows are somewhere else and not saved.
	remote bool
	// schemaOnly is whether the rows are left out because the user wants it so.
	schemaOnly bool
	// versioned is whether the server keeps the table's history, history whether
	// it is saved: its columns are then among columns.
	versioned, history bool
	// create is the CREATE statement without the counter and without the
	// database's name.
	create []byte
	// counter is the next AUTO_INCREMENT value at that time, "" if it has not moved.
	counter string
	// made tells the table from another one that has its name and definition: when it was
	// created, renamed, altered or truncated last, in the server's words; and on MySQL, which
	// notes no renaming there, where its rows are.
	made    string
	size    int64 // bytes, roughly
	columns []column
	force   string   // the index that SELECT is to use: that of the primary key
	order   string   // what makes it read in primary key order
	key     []column // of the primary key, where the table is read in parts
}

// catalog is what a database consists of, but for the rows.
type catalog struct {
	charset, collation string // the database's defaults
	tables             []table
	objects            []object
	libraries          []string // of MySQL, which are not saved
}

// names lists all tables, sequences and views; nothing is opened for it.
func (s *session) names(ctx context.Context) ([]string, error) {
	return s.strings(ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY BINARY table_name`)
}

// strings reads the first column of a query, NULL as "".
func (s *session) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	var list []string
	err := s.each(ctx, query, func(rows *sql.Rows) error {
		var value sql.NullString
		err := rows.Scan(&value)
		list = append(list, value.String)
		return err
	}, args...)
	return list, err
}

// catalog reads the definitions of the session's database.
func (s *session) catalog(ctx context.Context) (catalog, error) {
	c, err := s.defaults(ctx)
	if err != nil {
		return c, err
	}
	if c.tables, err = s.tables(ctx); err != nil {
		return c, err
	}
	if c.objects, err = s.objects(ctx, c.collation); err != nil {
		return c, err
	}
	if s.server.mysql && s.server.atLeast(9, 2, 0) {
		c.libraries, err = s.strings(ctx, "SELECT library_name FROM information_schema.libraries WHERE library_schema = DATABASE() ORDER BY library_name")
	}
	return c, err
}

func (s *session) defaults(ctx context.Context) (c catalog, err error) {
	err = s.one(ctx, `SELECT default_character_set_name, default_collation_name FROM information_schema.schemata
		WHERE schema_name = DATABASE()`, &c.charset, &c.collation)
	return c, err
}

const tablesQuery = `SELECT t.table_name, t.table_type, COALESCE(t.engine, ''), COALESCE(e.transactions, '') = 'YES',
	COALESCE(t.create_time, ''), COALESCE(t.data_length, 0), COALESCE(t.table_comment, '')
	FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
	WHERE t.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED')
	ORDER BY BINARY t.table_name`

func (s *session) tables(ctx context.Context) ([]table, error) {
	var tables []table
	err := s.each(ctx, tablesQuery, func(rows *sql.Rows) error {
		t := table{server: s.server}
		var kind, comment string
		if err := rows.Scan(&t.name, &kind, &t.engine, &t.snapshots, &t.made, &t.size, &comment); err != nil {
			return err
		}
		if t.engine == "" {
			return fmt.Errorf("table %s cannot be opened: %s; repair or drop it", t.name, comment)
		}
		t.sequence, t.versioned = kind == "SEQUENCE", kind == "SYSTEM VERSIONED"
		t.remote = slices.Contains([]string{"MRG_MyISAM", "FEDERATED", "SPIDER", "CONNECT", "OQGRAPH", "BLACKHOLE"}, t.engine)
		t.schemaOnly = !t.sequence && engines.Matches(s.place.schemaOnly, t.name)
		tables = append(tables, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	columns, orders, err := s.columns(ctx)
	if err != nil {
		return nil, err
	}
	spaces, err := s.spaces(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := range tables {
		t := &tables[i]
		t.made += spaces[t.name]
		if strings.ContainsAny(t.name, "\n\r") {
			return nil, fmt.Errorf("table %q: a name with a line break cannot be saved", t.name)
		}
		if t.create, t.counter, err = s.definition(ctx, *t); err != nil {
			return nil, err
		}
		t.columns = columns[t.name]
		t.force, t.order = readOrder(*t, orders[t.name])
		if from := s.place.reading.PartsFrom; from > 0 && t.size >= from {
			t.key = divisible(*t, orders[t.name])
		}
		if t.versioned {
			s.keepHistory(t)
		}
		if len(t.columns) == 0 {
			return nil, fmt.Errorf("table %s in database %s: user %s sees no columns of it", t.name, s.place.database, s.place.user)
		}
	}
	return tables, nil
}

// readOrder is what makes the SELECT that reads a table read it in order: by
// primary key. An InnoDB table without one, or with one on prefixes, is read in
// the order in which it is stored, which changes as little.
func readOrder(t table, keys []key) (force, order string) {
	switch {
	case t.sequence:
		return "", ""
	case len(keys) > 0 && !slices.ContainsFunc(keys, func(k key) bool { return k.prefix }):
		var list []string
		for _, k := range keys {
			list = append(list, k.column)
		}
		if t.engine == "InnoDB" {
			force = " FORCE INDEX (PRIMARY)" // never sort
		}
		return force, " ORDER BY " + strings.Join(list, ", ")
	case t.engine == "InnoDB":
		return " USE INDEX ()", ""
	}
	return "", ""
}

// keepHistory decides whether the history of a system-versioned table is saved.
// The columns that say from when to when a row was valid are either declared, and
// were read, or implied. MariaDB takes them on INSERT since 10.11, unless they
// are numbers of transactions.
func (s *session) keepHistory(t *table) {
	from := slices.IndexFunc(t.columns, func(c column) bool { return c.period == "ROW START" })
	until := slices.IndexFunc(t.columns, func(c column) bool { return c.period == "ROW END" })
	if from < 0 || until < 0 {
		from, until = len(t.columns), len(t.columns)+1
		t.columns = append(t.columns, column{name: "row_start", kind: "timestamp", period: "ROW START"},
			column{name: "row_end", kind: "timestamp", period: "ROW END"})
	}
	if t.columns[from].kind != "timestamp" || !s.server.atLeast(10, 11, 0) {
		t.columns = slices.DeleteFunc(t.columns, func(c column) bool { return c.period != "" })
		return
	}
	t.history = true
	t.columns[until].forever = s.server.forever()
	if t.order != "" {
		t.force, t.order = "", t.order+", "+quote(t.columns[until].name)
	}
}

// key is one part of a primary key.
type key struct {
	column string // quoted, with DESC where it descends
	prefix bool
}

// columns reads the stored columns and the primary keys of all tables. Of a table that
// stores none it is a generated one, of kind generated.
func (s *session) columns(ctx context.Context) (map[string][]column, map[string][]key, error) {
	columns, keys, computed := map[string][]column{}, map[string][]key{}, map[string]column{}
	period, stored := "IF(is_generated = 'NEVER', '', generation_expression)", "(is_generated = 'NEVER' OR generation_expression IN ('ROW START', 'ROW END'))"
	if s.server.mysql {
		period, stored = "''", "generation_expression = ''"
	}
	err := s.each(ctx, `SELECT table_name, column_name, data_type, column_type, COALESCE(character_set_name, ''), `+period+`, `+stored+`
		FROM information_schema.columns WHERE table_schema = DATABASE()
		ORDER BY BINARY table_name, ordinal_position`, func(rows *sql.Rows) error {
		var name string
		var c column
		var stored bool
		err := rows.Scan(&name, &c.name, &c.kind, &c.full, &c.charset, &c.period, &stored)
		if !stored {
			computed[name] = column{name: c.name, kind: generated}
			return err
		}
		if err == nil && strings.ContainsAny(c.name, "\n\r") {
			err = fmt.Errorf("column %q of table %s: a name with a line break cannot be saved", c.name, name)
		}
		columns[name] = append(columns[name], c)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for name, c := range computed {
		if columns[name] == nil {
			columns[name] = []column{c}
		}
	}
	err = s.each(ctx, `SELECT table_name, column_name, sub_part IS NOT NULL, COALESCE(collation, 'A') = 'D'
		FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name = 'PRIMARY'
		ORDER BY BINARY table_name, seq_in_index`, func(rows *sql.Rows) error {
		var name, column string
		var k key
		var descends bool
		err := rows.Scan(&name, &column, &k.prefix, &descends)
		k.column = quote(column)
		if descends {
			k.column += " DESC"
		}
		keys[name] = append(keys[name], k)
		return err
	})
	return columns, keys, err
}

// counterForm finds the counter in the line of a CREATE TABLE that holds the
// table's options; a comment comes later in it.
var counterForm = regexp.MustCompile(`(?m)^(\) ENGINE=\w+)((?: [A-Z_]+=\w+)*?) AUTO_INCREMENT=(\d+)`)

// definition returns the CREATE statement of a table or sequence, and the table's
// AUTO_INCREMENT counter, "" if it has not moved.
func (s *session) definition(ctx context.Context, t table) (create []byte, counter string, err error) {
	kind := "TABLE"
	if t.sequence {
		kind = "SEQUENCE"
	}
	var name string
	if err := s.one(ctx, "SHOW CREATE "+kind+" "+quote(t.name), &name, &create); err != nil {
		return nil, "", err
	}
	create = unqualified(create, s.current, false)
	create = unqualified(create, s.place.database, false) // retired tables keep it in defaults
	if m := counterForm.FindSubmatchIndex(create); m != nil {
		counter = string(create[m[6]:m[7]])
		create = slices.Concat(create[:m[5]], create[m[7]:])
	}
	return create, counter, nil
}

// counterAt is the AUTO_INCREMENT counter at the mark, which no snapshot knows:
// not below what it was before the mark, nor any value that is in the snapshot,
// and not above what it is now.
func (s *session) counterAt(ctx context.Context, t table, now string) (string, error) {
	column := counterColumn.FindSubmatch(t.create)
	if now == t.counter || column == nil {
		return now, nil
	}
	var highest sql.NullString
	if err := s.one(ctx, fmt.Sprintf("SELECT MAX(%s) FROM %s", column[1], quote(t.name)), &highest); err != nil {
		return "", err
	}
	seen, err := strconv.ParseUint(highest.String, 10, 63)
	if err != nil && highest.Valid {
		return now, nil // negative, or a FLOAT
	}
	before, err := strconv.ParseUint(t.counter, 10, 64)
	if err != nil && t.counter != "" {
		return now, nil
	}
	if before > seen+1 {
		return t.counter, nil
	}
	if seen == 0 {
		return "", nil
	}
	return strconv.FormatUint(seen+1, 10), nil
}
