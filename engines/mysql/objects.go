package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// object is what is created after the tables: a routine, view, trigger or event.
// Fields are exported because the journal of a restore keeps objects.
type object struct {
	Kind string // one of kinds
	Name string

	// What the server remembers of the session that created it.
	SQLMode    string
	Client     string // character set of Text
	Connection string // collation of the connection
	Collation  string `json:",omitempty"` // the database's default then, where it is another today
	TimeZone   string `json:",omitempty"` // an event's

	Text []byte // CREATE …, without the database's name
	// Broken marks a view that names what does not exist. It cannot be created
	// again as long as that is so.
	Broken bool `json:",omitempty"`
}

var kinds = []string{"FUNCTION", "PROCEDURE", "PACKAGE BODY", "PACKAGE", "VIEW", "TRIGGER", "EVENT"}

// equal reports whether two objects are the same but for what Broken says.
func (o object) equal(p object) bool {
	text := bytes.Equal(o.Text, p.Text)
	o.Text, p.Text, o.Broken, p.Broken = nil, nil, false, false
	return text && fmt.Sprint(o) == fmt.Sprint(p)
}

// label names the object in messages: trigger `orders_bi`.
func (o object) label() string { return strings.ToLower(o.Kind) + " " + quote(o.Name) }

// key names the object among those of its database.
func (o object) key() string { return o.Kind + " " + o.Name }

// replacing are the statements that create the object in place of another of its
// name. Privileges on a routine survive what MariaDB does then, unlike DROP and
// CREATE, than which MySQL has nothing better.
func (o object) replacing(on server) []string {
	if on.mysql && o.Kind != "VIEW" {
		return []string{"DROP " + o.Kind + " IF EXISTS " + quote(o.Name), string(o.Text)}
	}
	return []string{"CREATE OR REPLACE" + string(bytes.TrimPrefix(o.Text, []byte("CREATE")))}
}

var definerForm = regexp.MustCompile("(?s)^(CREATE (?:ALGORITHM=\\w+ )?)DEFINER=`((?:[^`]|``)*)`(?:@`((?:[^`]|``)*)`)? ")

// definer returns whose privileges the object has: user@host, or a role.
func (o object) definer() string {
	m := definerForm.FindSubmatch(o.Text)
	if m == nil {
		return ""
	}
	name := string(bytes.ReplaceAll(m[2], []byte("``"), []byte("`")))
	if m[3] != nil {
		name += "@" + string(m[3])
	}
	return name
}

// undefined returns the object without a definer: it becomes its creator's.
func (o object) undefined() object {
	o.Text = definerForm.ReplaceAll(o.Text, []byte("$1"))
	return o
}

// listed is an object before its text was read.
type listed struct {
	kind, name, table, event, timing string
}

// objects reads all of the session's database, in an order in which they can be
// created: routines, views after those that they read, triggers in the order in
// which they fire, events. collation is the database's default.
func (s *session) objects(ctx context.Context, collation string) ([]object, error) {
	var list []listed
	for _, query := range []string{
		`SELECT routine_type, routine_name, '', '', '' FROM information_schema.routines WHERE routine_schema = DATABASE()
			ORDER BY routine_type, BINARY routine_name`,
		`SELECT 'VIEW', table_name, '', '', '' FROM information_schema.views WHERE table_schema = DATABASE()
			ORDER BY BINARY table_name`,
		`SELECT 'TRIGGER', trigger_name, event_object_table, event_manipulation, action_timing
			FROM information_schema.triggers WHERE trigger_schema = DATABASE()
			ORDER BY BINARY event_object_table, event_manipulation, action_timing, action_order`,
		`SELECT 'EVENT', event_name, '', '', '' FROM information_schema.events WHERE event_schema = DATABASE()
			ORDER BY BINARY event_name`,
	} {
		err := s.each(ctx, query, func(rows *sql.Rows) error {
			var l listed
			err := rows.Scan(&l.kind, &l.name, &l.table, &l.event, &l.timing)
			list = append(list, l)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var objects []object
	for _, l := range list {
		o, err := s.object(ctx, l, collation)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return inOrder(objects), nil
}

// object reads one definition. SHOW CREATE names its columns, in another order
// for each kind.
func (s *session) object(ctx context.Context, l listed, collation string) (object, error) {
	if strings.ContainsAny(l.name, "\n\r") {
		return object{}, fmt.Errorf("%s %q: a name with a line break cannot be saved", strings.ToLower(l.kind), l.name)
	}
	shown := map[string]string{}
	err := s.each(ctx, "SHOW CREATE "+l.kind+" "+quote(l.name), func(rows *sql.Rows) error {
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range into {
			into[i] = &values[i]
		}
		err = rows.Scan(into...)
		for i, name := range names {
			shown[name] = values[i].String
		}
		return err
	})
	if err != nil {
		return object{}, err
	}
	o := object{Kind: l.kind, Name: l.name, SQLMode: shown["sql_mode"], Client: shown["character_set_client"],
		Connection: shown["collation_connection"], TimeZone: shown["time_zone"]}
	if c := shown["Database Collation"]; c != collation {
		o.Collation = c
	}
	for _, name := range []string{"Create View", "SQL Original Statement", "Create Function", "Create Procedure",
		"Create Package", "Create Package Body", "Create Event"} {
		if text := shown[name]; text != "" {
			o.Text = []byte(text)
		}
	}
	if o.Text == nil {
		privilege := "SELECT ON mysql.proc"
		switch {
		case s.server.mysql:
			privilege = "SELECT ON *.*" // SHOW_ROUTINE is later, and also works
		case s.server.atLeast(11, 3, 0):
			privilege = "SHOW CREATE ROUTINE ON " + quote(escapePattern(s.current)) + ".*"
		}
		grantee, err := s.grantee(ctx)
		if err != nil {
			return o, err
		}
		return o, fmt.Errorf("user %s may not read the definition of %s in database %s, which is somebody else's: GRANT %s TO %s",
			s.place.user, o.label(), s.place.database, privilege, grantee)
	}
	switch l.kind {
	case "VIEW":
		o.Text = unqualified(o.Text, s.current, true)
		o.Broken, err = s.broken(ctx)
	case "TRIGGER":
		o.Text, err = triggerText(o.Text, l)
	}
	return o, err
}

// broken reports whether SHOW CREATE VIEW has just warned that the view names
// what does not exist.
func (s *session) broken(ctx context.Context) (found bool, err error) {
	err = s.each(ctx, "SHOW WARNINGS", func(rows *sql.Rows) error {
		var level, message string
		var code uint16
		err := rows.Scan(&level, &code, &message)
		found = found || code == errViewInvalid
		return err
	})
	return found, err
}

// triggerText puts the head of a CREATE TRIGGER together anew where it has the
// database's name or IF NOT EXISTS, because the server gives back what was typed.
func triggerText(text []byte, l listed) ([]byte, error) {
	q := parse(text)
	qualified := false
	for i := range q.tokens {
		qualified = qualified || q.is(i, ".") || q.is(i, "exists")
		if !q.is(i, "for") || !q.is(i+1, "each") || !q.is(i+2, "row") {
			continue
		}
		definer := definerForm.Find(text)
		if !qualified && definer != nil {
			return text, nil
		}
		if definer == nil {
			definer = []byte("CREATE ")
		}
		head := fmt.Sprintf("TRIGGER %s %s %s ON %s FOR EACH ROW", quote(l.name), l.timing, l.event, quote(l.table))
		return slices.Concat(definer, []byte(head), text[q.tokens[i+2].end:]), nil
	}
	return nil, fmt.Errorf("trigger %s: its definition has no FOR EACH ROW", quote(l.name))
}

// inOrder moves each view behind the views that it reads. The rest keeps its order.
func inOrder(objects []object) []object {
	views := map[string]object{}
	for _, o := range objects {
		if o.Kind == "VIEW" {
			views[o.Name] = o
		}
	}
	var ordered []object
	done := map[string]bool{}
	var put func(o object)
	put = func(o object) {
		if done[o.key()] {
			return
		}
		done[o.key()] = true
		if o.Kind == "VIEW" {
			q := parse(o.Text)
			for i := range q.tokens {
				if name, ok := q.name(i); ok && q.isTable(i) {
					if read, isView := views[name]; isView {
						put(read)
					}
				}
			}
		}
		ordered = append(ordered, o)
	}
	for _, o := range objects {
		put(o)
	}
	return ordered
}
