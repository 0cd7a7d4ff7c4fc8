package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// account is a user or a role of the server. The zero host is that of MariaDB's
// roles; those of MySQL are users.
type account struct {
	user, host string
	role       bool // has no host, and is created by CREATE ROLE
}

// String is the account as statements name it.
func (a account) String() string {
	if a.role {
		return quote(a.user)
	}
	return quote(a.user) + "@" + quote(a.host)
}

// kind is what is created, or dropped: USER or ROLE.
func (a account) kind() string {
	if a.role {
		return "ROLE"
	}
	return "USER"
}

// seesAccounts refuses a user who would be shown no account but his own, where they
// are asked for.
func (s *source) seesAccounts(ctx context.Context, g grants) error {
	if !s.accounts || g.allow("SELECT", "mysql") {
		return nil
	}
	line, err := s.control.grantLine(ctx, "SELECT", "mysql")
	if err != nil {
		return err
	}
	return fmt.Errorf("user %s at %s %s cannot read the server's users and roles (accounts: true of service %s): %s", s.user, s.product(), s.address, s.service, line)
}

// putAccounts stores the stream of the accounts, where it was asked for. They are the
// server's, and as of now, not of the mark.
func (s *source) putAccounts(ctx context.Context, out *dump.Output) ([]tree.Entry, error) {
	if !s.place.accounts {
		return nil, nil
	}
	var definers []string
	for _, o := range s.catalog.objects {
		definers = append(definers, o.definer())
	}
	list, err := s.control.accountsOf(ctx, s.database, definers)
	if err != nil {
		return nil, err
	}
	text, err := s.control.accountsScript(ctx, list, s.database)
	if err != nil {
		return nil, err
	}
	e, err := out.Put(ctx, dump.AccountsFile, bytes.NewReader(text))
	return []tree.Entry{e}, err
}

// accountsOf finds who has to do with a database: who has privileges on it, or on
// something in it, or defines objects in it (definers, as user@host); whoever has one
// of these as a role; and the roles of all of them. Whoever may do everything (SUPER)
// is the server's own. Roles come first.
func (s *session) accountsOf(ctx context.Context, database string, definers []string) ([]account, error) {
	known, err := s.allAccounts(ctx)
	if err != nil {
		return nil, err
	}
	given, err := s.roles(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[string]bool{}
	name := literal(database)
	err = s.each(ctx, "SELECT User, Host FROM mysql.db WHERE "+name+" LIKE Db UNION SELECT User, Host FROM mysql.tables_priv WHERE Db = "+name+
		" UNION SELECT User, Host FROM mysql.columns_priv WHERE Db = "+name+" UNION SELECT User, Host FROM mysql.procs_priv WHERE Db = "+name,
		func(rows *sql.Rows) error {
			var user, host string
			err := rows.Scan(&user, &host)
			chosen[user+"@"+host] = true
			return err
		})
	if err != nil {
		return nil, err
	}
	for _, definer := range definers {
		if !strings.Contains(definer, "@") {
			definer += "@" // a role
		}
		chosen[definer] = true
	}
	spread := func(from, to func(membership) string) {
		for grown := true; grown; {
			grown = false
			for _, m := range given {
				if chosen[from(m)] && !chosen[to(m)] {
					chosen[to(m)], grown = true, true
				}
			}
		}
	}
	spread(membership.getRole, membership.getMember)
	spread(membership.getMember, membership.getRole)
	return slices.DeleteFunc(known, func(a account) bool { return !chosen[a.user+"@"+a.host] }), nil
}

// membership is a role that was given to an account, both as user@host.
type membership struct{ role, member string }

func (m membership) getRole() string   { return m.role }
func (m membership) getMember() string { return m.member }

func (s *session) roles(ctx context.Context) (list []membership, err error) {
	query := "SELECT CONCAT(Role, '@'), CONCAT(User, '@', Host) FROM mysql.roles_mapping"
	if s.server.mysql {
		query = "SELECT CONCAT(FROM_USER, '@', FROM_HOST), CONCAT(TO_USER, '@', TO_HOST) FROM mysql.role_edges"
	}
	err = s.each(ctx, query, func(rows *sql.Rows) error {
		var m membership
		err := rows.Scan(&m.role, &m.member)
		list = append(list, m)
		return err
	})
	return list, err
}

// allAccounts lists all accounts but the server's administrators, roles first.
func (s *session) allAccounts(ctx context.Context) (list []account, err error) {
	// Of MySQL, whatever was given to somebody is a role, and comes before him.
	query := `SELECT User, Host, is_role FROM mysql.user WHERE Super_priv = 'N' AND User NOT IN ('mariadb.sys', 'PUBLIC')
		ORDER BY is_role = 'N', BINARY User, BINARY Host`
	if s.server.mysql {
		query = `SELECT User, Host, 'N' FROM mysql.user WHERE Super_priv = 'N' AND User NOT IN ('mysql.sys', 'mysql.session', 'mysql.infoschema')
			ORDER BY (User, Host) NOT IN (SELECT FROM_USER, FROM_HOST FROM mysql.role_edges), BINARY User, BINARY Host`
	}
	err = s.each(ctx, query, func(rows *sql.Rows) error {
		var a account
		var role string
		err := rows.Scan(&a.user, &a.host, &role)
		a.role = role == "Y"
		list = append(list, a)
		return err
	})
	return list, err
}

// accountsScript makes the stream: accounts, what they may do, and at the end what
// they may do in other databases, as comments. The database's own name is not in it.
func (s *session) accountsScript(ctx context.Context, list []account, database string) ([]byte, error) {
	text := []byte("-- Users and roles who have to do with the database\nSET NAMES utf8mb4;\n")
	for _, a := range list {
		create, err := s.createOf(ctx, a)
		if err != nil {
			return nil, err
		}
		text = appendStatement(fmt.Appendf(text, "\n-- Account %s\n", dump.OneLine(a.String())), create)
	}
	var elsewhere []string
	for _, a := range list {
		lines, err := s.strings(ctx, "SHOW GRANTS FOR "+a.String())
		if err != nil {
			return nil, err
		}
		var here []string
		for _, line := range lines {
			g, ok := parseGiven(line)
			switch {
			case !ok || g.to != a.String() || g.isNothing():
			case g.reach == onOther, g.reach == onDatabase && !like(g.name, database), g.reach == onObject && g.name != database:
				elsewhere = append(elsewhere, dump.OneLine(g.text))
			default:
				here = append(here, g.unnamed())
			}
		}
		if len(here) == 0 {
			continue
		}
		slices.Sort(here) // the server's order is that of a hash table
		text = fmt.Appendf(text, "\n-- Privileges of %s\n", dump.OneLine(a.String()))
		for _, line := range here {
			text = appendStatement(text, []byte(line))
		}
	}
	if len(elsewhere) > 0 {
		slices.Sort(elsewhere)
		text = append(text, "\n-- In other databases, which a restore leaves alone:\n"...)
		for _, line := range elsewhere {
			text = fmt.Appendf(text, "-- %s\n", line)
		}
	}
	return text, nil
}

// createOf is the statement that creates an account, with the hash of its password.
func (s *session) createOf(ctx context.Context, a account) ([]byte, error) {
	if a.role {
		return []byte("CREATE ROLE " + a.String()), nil
	}
	if s.server.mysql && s.server.atLeast(8, 0, 17) { // else hashes are shown as they are, with any bytes
		if err := s.exec(ctx, "SET SESSION print_identified_with_as_hex = 1"); err != nil {
			return nil, err
		}
	}
	var shown []byte
	if err := s.one(ctx, "SHOW CREATE USER "+a.String(), &shown); err != nil {
		return nil, err
	}
	q := parse(shown)
	if !q.is(0, "CREATE") || !q.is(1, "USER") || !q.is(3, "@") || len(q.tokens) < 5 {
		return nil, fmt.Errorf("user %v: the server does not show how it was created", a)
	}
	return slices.Concat([]byte("CREATE USER "+a.String()), shown[q.tokens[4].end:]), nil
}
