package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/engines"
)

// table is one table with rows of its own: also a partition, a child of another
// table, and those of an extension's tables that hold a site's data.
type table struct {
	oid      string
	schema   string
	name     string
	filenode string // changes with every TRUNCATE and rewrite
	size     int64  // an estimate, in bytes, of what is kept apart (TOAST) too
	where    string // of an extension's table: which rows are the site's
	columns  []column
	order    string // " ORDER BY …", or ""
	key      []key  // by which the table can be read in parts, or nil
	bare     bool   // its rows are left out because the user wants it so
}

type column struct {
	name      string
	kind      uint32 // OID of its type; 0 for a domain, which is shown as what it is of
	generated bool
}

// sequence is one sequence and where it stands.
type sequence struct {
	schema, name string
	value        string // as the setval() that brings it there
}

// label names the table in messages, as a user would.
func (t table) label() string {
	if t.schema == "public" {
		return t.name
	}
	return t.schema + "." + t.name
}

func (t table) quoted() string { return quote(t.schema) + "." + quote(t.name) }

// stored are the quoted names of the columns that are read and loaded.
func (t table) stored() string {
	var names []string
	for _, c := range t.columns {
		if !c.generated {
			names = append(names, quote(c.name))
		}
	}
	return strings.Join(names, ", ")
}

// query is the SELECT that reads a part of the table.
func (t table) query(p span) string {
	where := t.within(p)
	if t.where != "" {
		where = " " + t.where // such a table is read whole
	}
	return "SELECT " + t.stored() + " FROM ONLY " + t.quoted() + where + t.order
}

// litter matches schemas that restores of this package leave when they are killed.
const litter = `^holdfast_h[fr]_[0-9a-f]{10}(_[0-9]+)?$`

// mine are the schemas whose content is the database's own.
const mine = `SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname !~ '` + litter + `'`

// within limits mine to some schemas, or to all.
func within(schemas []string) string {
	if schemas == nil {
		return mine
	}
	return "SELECT oid FROM pg_namespace WHERE nspname = ANY (" + list(schemas) + ")"
}

// tables reads, within the session's transaction, what its snapshot says: filenodes
// too, which is what makes them comparable with what is so later.
func (s *session) tables(ctx context.Context, schemas []string) ([]table, error) {
	rows, err := s.rows(ctx, `SELECT c.oid, n.nspname, c.relname, c.relfilenode,
			(c.relpages + coalesce(r.relpages, 0))::bigint * current_setting('block_size')::bigint, e.condition
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class r ON r.oid = c.reltoastrelid
		LEFT JOIN (SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_extension) e ON e.oid = c.oid
		WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.relnamespace IN (`+within(schemas)+`)
		AND (e.oid IS NOT NULL OR NOT EXISTS (SELECT FROM pg_depend d
			WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
		ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`)
	if err != nil {
		return nil, err
	}
	var list []table
	at := map[string]int{}
	for i, row := range rows {
		size, err := strconv.ParseInt(row[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("table %s: size %q: %w", row[2], row[4], err)
		}
		list = append(list, table{oid: row[0], schema: row[1], name: row[2], filenode: row[3], size: size, where: row[5]})
		at[row[0]] = i
	}
	rows, err = s.rows(ctx, `SELECT a.attrelid, a.attname, CASE t.typtype WHEN 'd' THEN 0 ELSE t.oid END, a.attgenerated <> ''
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
		WHERE c.relkind = 'r' AND c.relnamespace IN (`+within(schemas)+`) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		i, ok := at[row[0]]
		if !ok {
			continue
		}
		kind, err := strconv.ParseUint(row[2], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("column %s of table %s: type %q: %w", row[1], list[i].label(), row[2], err)
		}
		list[i].columns = append(list[i].columns, column{name: row[1], kind: uint32(kind), generated: row[3] == "t"})
	}
	for i, t := range list {
		list[i].bare = engines.Matches(s.place.schemaOnly, t.name, t.schema+"."+t.name)
	}
	return list, s.orders(ctx, list, at)
}

// foreignKeys are the tables with rows of their own that refer to others, and those that
// they refer to: of a partitioned table each partition.
const foreignKeys = `WITH RECURSIVE part (whole, oid) AS (SELECT oid, oid FROM pg_class WHERE relkind IN ('r', 'p')
		UNION ALL SELECT whole, inhrelid FROM part JOIN pg_inherits ON inhparent = oid WHERE (SELECT relispartition FROM pg_class WHERE pg_class.oid = inhrelid)),
	leaf AS (SELECT whole, oid FROM part WHERE (SELECT relkind FROM pg_class WHERE pg_class.oid = part.oid) <> 'p')
	SELECT f.oid, t.oid, f.oid::regclass FROM pg_constraint JOIN leaf f ON f.whole = conrelid JOIN leaf t ON t.whole = confrelid
	WHERE contype = 'f' AND conparentid = 0 ORDER BY 3`

// leaveOut decides of which tables the rows are left out. One to which another refers
// is refused, since a restore could not create that foreign key; where it is too late to
// refuse anything its rows are kept.
func (s *session) leaveOut(ctx context.Context, tables []table, tooLate bool) error {
	if !slices.ContainsFunc(tables, func(t table) bool { return t.bare }) {
		return nil
	}
	keys, err := s.rows(ctx, foreignKeys)
	if err != nil {
		return err
	}
	for {
		to, by := referred(tables, keys)
		switch {
		case to == nil:
			return nil
		case !tooLate:
			return fmt.Errorf("table %s: its rows cannot be left out (schema_only), because %s refers to them by a foreign key", to.label(), by)
		}
		to.bare = false
	}
}

// referred returns a table whose rows are left out, and who refers to it with rows
// that are not; nil if there is none.
func referred(tables []table, keys [][]string) (to *table, by string) {
	bare := map[string]*table{}
	for i := range tables {
		if tables[i].bare {
			bare[tables[i].oid] = &tables[i]
		}
	}
	for _, key := range keys {
		if to := bare[key[1]]; to != nil && bare[key[0]] == nil {
			return to, key[2]
		}
	}
	return nil, ""
}

// orders finds the order in which rows are read: by primary key, or else by another
// key that tells them apart; tables without one are read as they are stored.
func (s *session) orders(ctx context.Context, tables []table, at map[string]int) error {
	rows, err := s.rows(ctx, `SELECT DISTINCT ON (i.indrelid) i.indrelid, i.indexrelid
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
		WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
		AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k JOIN pg_attribute a
			ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] WHERE NOT a.attnotnull)
		ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid`)
	if err != nil {
		return err
	}
	index := map[string]int{}
	var indexes []string
	for _, row := range rows {
		if i, ok := at[row[0]]; ok {
			index[row[1]] = i
			indexes = append(indexes, row[1])
		}
	}
	rows, err = s.rows(ctx, `SELECT i.indexrelid, quote_ident(a.attname), quote_ident(n.nspname) || '.' || quote_ident(t.typname), i.indoption[k] & 1 = 1
		FROM pg_index i, generate_series(0, i.indnkeyatts - 1) k, pg_attribute a, pg_type t, pg_namespace n
		WHERE i.indexrelid::text = ANY (`+list(indexes)+`) AND a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND t.oid = a.atttypid AND n.oid = t.typnamespace
		ORDER BY i.indexrelid, k`)
	for _, row := range rows {
		t := &tables[index[row[0]]]
		t.key = append(t.key, key{column: row[1], kind: row[2], descends: row[3] == "t"})
	}
	for i := range tables {
		tables[i].order = orderBy(tables[i].key)
		if from := s.place.reading.PartsFrom; from == 0 || tables[i].size < from || !tables[i].divisible() {
			tables[i].key = nil
		}
	}
	return err
}

// sequences reads where all sequences stand. That is part of no snapshot.
func (s *session) sequences(ctx context.Context, schemas []string) ([]sequence, error) {
	rows, err := s.rows(ctx, `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND c.relnamespace IN (`+within(schemas)+`)
		AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
			OR EXISTS (SELECT FROM pg_extension WHERE c.oid = ANY (extconfig)))
		ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var list []sequence
	// One query for many, because this is done at the mark.
	for some := range slices.Chunk(rows, 200) {
		var parts []string
		for i, row := range some {
			parts = append(parts, fmt.Sprintf("SELECT %d AS i, last_value, is_called FROM %s.%s", i, quote(row[0]), quote(row[1])))
		}
		values, err := s.rows(ctx, strings.Join(parts, " UNION ALL ")+" ORDER BY i")
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			called := "true"
			if value[2] != "t" {
				called = "false"
			}
			list = append(list, sequence{some[i][0], some[i][1], value[1] + ", " + called})
		}
	}
	return list, nil
}

// fingerprint changes whenever a definition does. Read within a snapshot and again
// later, it tells whether what was read in between belongs together: much of what
// the server says about definitions is of now, whatever the snapshot. Neither data
// nor what VACUUM and ANALYZE note are part of it.
func (s *session) fingerprint(ctx context.Context) (string, error) {
	return s.value(ctx, `WITH mine AS (`+mine+`), relation AS (SELECT oid FROM pg_class WHERE relnamespace IN (SELECT oid FROM mine))
		SELECT count(*) || ' ' || coalesce(sum(hashtextextended(thing, 0)::numeric), 0) FROM (
		SELECT concat_ws(' ', 'n', oid, xmin) FROM pg_namespace WHERE oid IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 'c', oid, relname, relnamespace, relkind, relowner, relacl, reloptions, relpersistence, relrowsecurity,
			relforcerowsecurity, relreplident, relispartition, relpartbound) FROM pg_class WHERE oid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'a', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'd', oid, xmin) FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'h', inhrelid, inhparent, inhseqno) FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'i', indexrelid, indisvalid, indisprimary, indisreplident) FROM pg_index WHERE indrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'q', seqrelid, xmin) FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'k', oid, xmin) FROM pg_constraint WHERE connamespace IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 'r', oid, xmin) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 't', oid, xmin) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'y', oid, xmin) FROM pg_type WHERE typnamespace IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 'p', oid, xmin) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 'o', oid, xmin) FROM pg_operator WHERE oprnamespace IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 's', oid, xmin) FROM pg_statistic_ext WHERE stxnamespace IN (SELECT oid FROM mine)
		UNION ALL SELECT concat_ws(' ', 'l', oid, xmin) FROM pg_policy WHERE polrelid IN (SELECT oid FROM relation)
		UNION ALL SELECT concat_ws(' ', 'e', oid, xmin) FROM pg_enum
		UNION ALL SELECT concat_ws(' ', 'x', oid, xmin) FROM pg_extension
		UNION ALL SELECT concat_ws(' ', 'v', oid, xmin) FROM pg_event_trigger
		UNION ALL SELECT concat_ws(' ', 'b', oid, xmin) FROM pg_publication
		UNION ALL SELECT concat_ws(' ', 'f', oid, xmin) FROM pg_foreign_server
		UNION ALL SELECT concat_ws(' ', 'g', oid, xmin) FROM pg_default_acl
		UNION ALL SELECT concat_ws(' ', 'z', oid, xmin) FROM pg_cast WHERE oid >= 16384
		) AS things (thing)`)
}

// labels tells when a label of an enumeration changes, which changes what every
// value of it is written as.
func (s *session) labels(ctx context.Context) (string, error) {
	return s.value(ctx, "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(concat_ws(' ', oid, xmin), 0)::numeric), 0) FROM pg_enum")
}
