package postgres

import (
	"context"
	"fmt"
	"strings"
)

// createDatabase is the stream that says how to create such a database, under its
// name: what pg_dump --create says, without whose it is.
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
	for _, setting := range settings {
		text += fmt.Sprintf("ALTER DATABASE %s %s;\n", quote(out.database), setting)
	}
	return text, nil
}

// locale is what follows the name in the CREATE DATABASE of the session's database.
func (s *session) locale(ctx context.Context) (string, error) {
	more := "'c', ''"
	switch {
	case s.version >= 170000:
		more = "datlocprovider, coalesce(datlocale, '')"
	case s.version >= 150000:
		more = "datlocprovider, coalesce(daticulocale, '')"
	}
	row, err := s.row(ctx, "SELECT pg_encoding_to_char(encoding), datcollate, datctype, "+more+" FROM pg_database WHERE datname = current_database()")
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(" TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s", literal(row[0]), literal(row[1]), literal(row[2]))
	switch row[3] {
	case "i":
		text += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(row[4])
	case "b":
		text += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(row[4])
	}
	return text, nil
}

// quotedLists are the settings whose values are lists that are quoted already
// (GUC_LIST_QUOTE in the server's source).
const quotedLists = "search_path session_preload_libraries local_preload_libraries shared_preload_libraries temp_tablespaces unix_socket_directories"

// databaseSettings are the settings that hold for all who connect to database, as
// the end of an ALTER DATABASE.
func (s *session) databaseSettings(ctx context.Context, database string) ([]string, error) {
	return s.settingsWhere(ctx, "setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = "+literal(database)+")")
}

// settingsWhere are the settings of a database or a role, as the end of an ALTER.
func (s *session) settingsWhere(ctx context.Context, condition string) ([]string, error) {
	rows, err := s.rows(ctx, `SELECT split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
		FROM (SELECT unnest(setconfig) FROM pg_db_role_setting WHERE `+condition+`) AS settings (setting) ORDER BY 1`)
	var list []string
	for _, row := range rows {
		value := row[1]
		if !strings.Contains(" "+quotedLists+" ", " "+row[0]+" ") {
			value = literal(value)
		}
		list = append(list, fmt.Sprintf("SET %s TO %s", row[0], value))
	}
	return list, err
}
