package postgres

import (
	"context"
	"fmt"
	"strings"

	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// concerned are the OIDs of the roles who have to do with the session's database:
// who owns it or something in it, or has privileges there (what the server itself
// asks before it drops a role); whoever is a member of these; and what all of them
// are members of. The server's own are not among them.
const concerned = `WITH RECURSIVE here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
	above AS (SELECT refobjid AS oid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
			AND (dbid = (SELECT oid FROM here) OR dbid = 0 AND classid = 'pg_database'::regclass AND objid = (SELECT oid FROM here))
		UNION SELECT m.member FROM pg_auth_members m JOIN above a ON m.roleid = a.oid),
	roles AS (SELECT oid FROM above UNION SELECT m.roleid FROM pg_auth_members m JOIN roles r ON m.member = r.oid)
	SELECT oid FROM roles WHERE oid >= 16384`

// readsPasswords asks whether the hashes of passwords are shown to the user.
const readsPasswords = "SELECT has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') AND has_column_privilege('pg_catalog.pg_authid', 'oid', 'SELECT')"

// passwords notes that roles come without their passwords.
func (s *source) passwords(ctx context.Context) error {
	if !s.accounts {
		return nil
	}
	shown, err := s.control.yes(ctx, readsPasswords)
	if err == nil && !shown {
		s.notes = append(s.notes, fmt.Sprintf("the roles are without their passwords, which user %s may not read: GRANT SELECT ON pg_catalog.pg_authid TO %s, in database %s",
			s.user, quote(s.user), s.database))
	}
	return err
}

// putAccounts stores the stream of the roles, where it was asked for. They are the
// server's, and as of now, not of the mark.
func (out *output) putAccounts(ctx context.Context) ([]tree.Entry, error) {
	if !out.place.accounts {
		return nil, nil
	}
	text, err := out.control.roles(ctx)
	if err != nil {
		return nil, err
	}
	e, err := out.Put(ctx, dump.AccountsFile, strings.NewReader(text))
	return []tree.Entry{e}, err
}

// roles makes the stream, as pg_dumpall --roles-only would for those concerned.
func (s *session) roles(ctx context.Context) (string, error) {
	password := "''"
	if shown, err := s.yes(ctx, readsPasswords); err != nil {
		return "", err
	} else if shown {
		password = "coalesce((SELECT rolpassword FROM pg_authid a WHERE a.oid = r.oid), '')"
	}
	rows, err := s.rows(ctx, `SELECT oid, rolname, concat(
			CASE WHEN rolsuper THEN ' SUPERUSER' END, CASE WHEN NOT rolinherit THEN ' NOINHERIT' END, CASE WHEN rolcreaterole THEN ' CREATEROLE' END,
			CASE WHEN rolcreatedb THEN ' CREATEDB' END, CASE WHEN rolcanlogin THEN ' LOGIN' END, CASE WHEN rolreplication THEN ' REPLICATION' END,
			CASE WHEN rolbypassrls THEN ' BYPASSRLS' END, CASE WHEN rolconnlimit <> -1 THEN ' CONNECTION LIMIT ' || rolconnlimit END),
		`+password+`, rolvaliduntil, shobj_description(oid, 'pg_authid')
		FROM pg_roles r WHERE oid IN (`+concerned+`) ORDER BY rolname COLLATE "C"`)
	if err != nil {
		return "", err
	}
	text := "-- Roles who have to do with the database\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
	for _, row := range rows {
		name := quote(row[1])
		text += fmt.Sprintf("\n-- %s\nCREATE ROLE %s%s", labelOfRole(row[1]), name, row[2])
		if row[3] != "" {
			text += " PASSWORD " + literal(row[3])
		}
		if row[4] != "" {
			text += " VALID UNTIL " + literal(row[4])
		}
		text += ";\n"
		settings, err := s.settingsWhere(ctx, "setdatabase = 0 AND setrole = "+row[0])
		if err != nil {
			return "", err
		}
		for _, set := range settings {
			text += fmt.Sprintf("ALTER ROLE %s %s;\n", name, set.text)
		}
		if comment, _ := unmark(row[5]); comment != "" {
			text += fmt.Sprintf("COMMENT ON ROLE %s IS %s;\n", name, literal(comment))
		}
	}
	members, err := s.members(ctx)
	return text + members, err
}

// members are the statements that make roles members of others. From PostgreSQL 16
// on, being one has two more properties.
func (s *session) members(ctx context.Context) (string, error) {
	options := "CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END"
	if s.version >= 160000 {
		options = "format(' WITH ADMIN %s, INHERIT %s, SET %s', bool_or(admin_option)::text, bool_or(inherit_option)::text, bool_or(set_option)::text)"
	}
	rows, err := s.rows(ctx, `SELECT g.rolname, m.rolname, `+options+` FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
		WHERE a.member IN (`+concerned+`) GROUP BY g.rolname, m.rolname ORDER BY m.rolname COLLATE "C", g.rolname COLLATE "C"`)
	text, before := "", ""
	for _, row := range rows {
		if row[1] != before {
			text += fmt.Sprintf("\n-- %s\n", labelOfRole(row[1]))
			before = row[1]
		}
		text += fmt.Sprintf("GRANT %s TO %s%s;\n", quote(row[0]), quote(row[1]), row[2])
	}
	return text, err
}

// labelOfRole is the comment before what is said about a role.
func labelOfRole(name string) string { return "Role " + dump.OneLine(quote(name)) }
