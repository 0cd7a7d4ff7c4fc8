package postgres

import (
	"context"
	"fmt"
	"strings"
)

// inherit gives the room what the current database has of its own: settings, for all
// and for single roles, privileges, connection limit and owner belong to the environment,
// not to the snapshot.
func (r *database) inherit(ctx context.Context) (notes []string, err error) {
	settings, err := r.server.databaseSettings(ctx, r.target.database)
	if err != nil {
		return nil, err
	}
	if notes, err = r.set(ctx, settings, currentHas); err != nil {
		return notes, err
	}
	name, current := literal(quote(r.staging())), literal(r.target.database)
	rows, err := r.server.rows(ctx, `SELECT format('REVOKE ALL ON DATABASE %s FROM PUBLIC', `+name+`) FROM pg_database WHERE datname = `+current+` AND datacl IS NOT NULL
		UNION ALL SELECT format('GRANT %s ON DATABASE %s TO %s%s', a.privilege_type, `+name+`,
			CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = `+current+`
		UNION ALL SELECT format('ALTER DATABASE %s CONNECTION LIMIT %s', `+name+`, datconnlimit) FROM pg_database WHERE datname = `+current+` AND datconnlimit <> -1
		UNION ALL SELECT format('ALTER DATABASE %s OWNER TO %I', `+name+`, pg_get_userbyid(datdba)) FROM pg_database WHERE datname = `+current)
	if err != nil {
		return notes, err
	}
	for _, row := range rows {
		if notes, err = r.give(ctx, row[0], currentHas, notes); err != nil {
			return notes, err
		}
	}
	row, err := r.server.row(ctx, `SELECT here.spcname, there.spcname
		FROM pg_database c JOIN pg_tablespace here ON here.oid = c.dattablespace, pg_database s JOIN pg_tablespace there ON there.oid = s.dattablespace
		WHERE c.datname = `+current+` AND s.datname = `+literal(r.staging()))
	if err != nil {
		return notes, err
	}
	if row[0] != row[1] {
		notes = append(notes, fmt.Sprintf("the restored database is in tablespace %s, the current one in %s, where user %s may create nothing", row[1], row[0], r.user))
	}
	return notes, nil
}

const currentHas = "the current one has"

// set makes settings hold in the room. Those that the user may not make are told, with
// who has them.
func (r *database) set(ctx context.Context, settings []setting, whose string) (notes []string, err error) {
	for _, set := range settings {
		if notes, err = r.give(ctx, set.statement(r.staging()), whose, notes); err != nil {
			return notes, err
		}
	}
	return notes, nil
}

// give executes a statement about the room, or notes why it cannot be: the user may not,
// or there is no such role or setting here.
func (r *database) give(ctx context.Context, statement, whose string, notes []string) ([]string, error) {
	switch err := r.do(ctx, r.server, statement); code(err) {
	case codePrivilege, codeNoObject, codeBadValue:
		later := strings.ReplaceAll(statement, quote(r.staging()), quote(r.target.database)) // as it can be given by hand
		return append(notes, fmt.Sprintf("the restored database lacks what %s: %s: %v", whose, later, brief(err))), nil
	default:
		return notes, err
	}
}
