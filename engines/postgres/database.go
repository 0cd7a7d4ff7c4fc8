package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// createDatabase is the stream that says how to create such a database, under its
// name: what pg_dump --create says, without whose it is and who may use it.
func (out *output) createDatabase(ctx context.Context) (string, error) {
	locale, err := out.control.locale(ctx)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("-- The database itself\n\nCREATE DATABASE %s%s;\n", quote(out.database), locale)
	settings, err := out.control.databaseSettings(ctx, out.from())
	if err != nil {
		return "", err
	}
	for _, set := range settings {
		text += set.statement(out.database) + ";\n"
	}
	comment, _, err := out.control.databaseComment(ctx, out.from())
	if err != nil {
		return "", err
	}
	if j, ok := parseJournal(comment); ok {
		comment = j.Comment
	}
	if comment != "" {
		text += commentOn(out.database, comment) + ";\n"
	}
	return text, nil
}

// databaseScript is what createDatabase has written.
type databaseScript struct {
	locale   string // what follows the name in CREATE DATABASE
	settings []setting
	comment  string
}

var (
	createForm  = regexp.MustCompile(`^CREATE DATABASE (?:"(?:[^"]|"")+")( TEMPLATE template0 (?s:.*))$`)
	settingForm = regexp.MustCompile(`^ALTER (?:DATABASE|ROLE ("(?:[^"]|"")+") IN DATABASE) (?:"(?:[^"]|"")+") (SET (?s:.*))$`)
	commentForm = regexp.MustCompile(`^COMMENT ON DATABASE (?:"(?:[^"]|"")+") IS '((?s:.*))'$`)
)

func parseDatabase(statements []statement) (d databaseScript, err error) {
	for _, st := range statements {
		if m := createForm.FindStringSubmatch(st.text); m != nil {
			d.locale = m[1]
		} else if m := settingForm.FindStringSubmatch(st.text); m != nil {
			d.settings = append(d.settings, setting{unquote(m[1]), m[2]})
		} else if m := commentForm.FindStringSubmatch(st.text); m != nil {
			d.comment = strings.ReplaceAll(m[1], "''", "'")
		} else {
			return d, fmt.Errorf("%s, statement %.40q: %w", databaseFile, st.text, errScript)
		}
	}
	if d.locale == "" {
		return d, fmt.Errorf("%s has no CREATE DATABASE: %w", databaseFile, errScript)
	}
	return d, nil
}

// locale is what follows the name in the CREATE DATABASE of the session's database.
func (s *session) locale(ctx context.Context) (string, error) {
	more := "'c', '', ''"
	switch {
	case s.version >= 170000:
		more = "datlocprovider, coalesce(datlocale, ''), coalesce(daticurules, '')"
	case s.version >= 160000:
		more = "datlocprovider, coalesce(daticulocale, ''), coalesce(daticurules, '')"
	case s.version >= 150000:
		more = "datlocprovider, coalesce(daticulocale, ''), ''"
	}
	row, err := s.row(ctx, "SELECT pg_encoding_to_char(encoding), datcollate, datctype, "+more+" FROM pg_database WHERE datname = current_database()")
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(" TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s", literal(row[0]), literal(row[1]), literal(row[2]))
	switch row[3] {
	case "i":
		text += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(row[4])
		if row[5] != "" {
			text += " ICU_RULES " + literal(row[5])
		}
	case "b":
		text += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(row[4])
	}
	return text, nil
}

// quotedLists are the settings whose values are lists that are quoted already
// (GUC_LIST_QUOTE in the server's source).
const quotedLists = "search_path session_preload_libraries local_preload_libraries shared_preload_libraries temp_tablespaces unix_socket_directories"

// setting is one that holds for a role wherever it connects to, or in one database, for
// all or one role.
type setting struct {
	role string // "": all
	text string // the end of an ALTER
}

// statement makes it hold in database.
func (s setting) statement(database string) string {
	if s.role == "" {
		return fmt.Sprintf("ALTER DATABASE %s %s", quote(database), s.text)
	}
	return fmt.Sprintf("ALTER ROLE %s IN DATABASE %s %s", quote(s.role), quote(database), s.text)
}

// databaseSettings are those that hold in database.
func (s *session) databaseSettings(ctx context.Context, database string) ([]setting, error) {
	return s.settingsWhere(ctx, "setdatabase = (SELECT oid FROM pg_database WHERE datname = "+literal(database)+")")
}

func (s *session) settingsWhere(ctx context.Context, condition string) ([]setting, error) {
	rows, err := s.rows(ctx, `SELECT rolname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
		FROM (SELECT setrole, unnest(setconfig) FROM pg_db_role_setting WHERE `+condition+`) AS settings (setrole, setting)
		LEFT JOIN pg_roles r ON r.oid = setrole ORDER BY rolname COLLATE "C" NULLS FIRST, 2`)
	var list []setting
	for _, row := range rows {
		value := row[2]
		if !strings.Contains(" "+quotedLists+" ", " "+row[1]+" ") {
			value = literal(value)
		}
		list = append(list, setting{row[0], fmt.Sprintf("SET %s TO %s", row[1], value)})
	}
	return list, err
}

func (s *session) databaseComment(ctx context.Context, database string) (comment string, exists bool, err error) {
	rows, err := s.rows(ctx, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "+literal(database))
	if err != nil || len(rows) == 0 {
		return "", false, err
	}
	return rows[0][0], true, nil
}

func commentOn(database, text string) string {
	if text == "" {
		return "COMMENT ON DATABASE " + quote(database) + " IS NULL"
	}
	return "COMMENT ON DATABASE " + quote(database) + " IS " + literal(text)
}
