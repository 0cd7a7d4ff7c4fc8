package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

const (
	// swapWait bounds how long a swap waits for transactions that use the tables.
	swapWait = 20 * time.Second
	// lockWait bounds how long a restore waits for the connections of one that has
	// just died to be noticed by the server.
	lockWait = 15 * time.Second
)

// target replaces the content of one database.
type target struct {
	place
	token string
	now   func() time.Time
	// step, in tests, is called before every statement that changes something; its
	// error ends the call as the end of the process would.
	step func(statement string) error

	inside  *session // in the database, where it exists; holds its lock
	server  *session // in another database of the server, where that lets us in; holds its lock
	refused error    // why server is nil
}

// Plan implements engines.Target.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	if _, err := dump.Top(entries); err != nil {
		return engines.Plan{}, fmt.Errorf("service %s: %w", t.service, err)
	}
	if err := t.open(ctx); err != nil {
		return engines.Plan{}, err
	}
	if err := t.allowed(ctx); err != nil {
		return engines.Plan{}, err
	}
	if err := t.mayCreateRoles(ctx); err != nil {
		return engines.Plan{}, err
	}
	ties, err := t.untied(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	warnings := append(t.warnings(), ties...)
	if t.accounts {
		warnings = append(warnings, "roles that the snapshot holds and the server lacks are created; those that exist are left as they are")
	}
	if t.inside == nil {
		return engines.Plan{Creates: true, Warnings: warnings}, nil
	}
	row, err := t.inside.row(ctx, `SELECT count(*) FILTER (WHERE relkind IN ('r', 'p') AND NOT relispartition), count(*),
		pg_database_size(current_database())
		FROM pg_class WHERE relnamespace IN (`+mine+`)`)
	if err != nil {
		return engines.Plan{}, err
	}
	bytes, err := strconv.ParseUint(row[2], 10, 64)
	if err != nil {
		return engines.Plan{}, fmt.Errorf("the size of database %s: %w", t.database, err)
	}
	noun := "tables"
	if row[0] == "1" {
		noun = "table"
	}
	unsaved, err := t.unsaved(ctx)
	plan := engines.Plan{Creates: row[1] == "0", Warnings: warnings, Unsaved: unsaved,
		Replaces: fmt.Sprintf("database %s (%s %s, %s)", t.database, row[0], noun, humanize.IBytes(bytes))}
	if !plan.Creates {
		plan.Unreadable = t.unreadable(ctx)
	}
	return plan, err
}

// warnings says what may not work because the servers differ.
func (t *target) warnings() []string {
	if here := t.any().product(); engines.Older(here, t.taken, 1) {
		return []string{fmt.Sprintf("the snapshot is of %s, and the server at %s is %s, which is older: what it does not know yet fails the restore before anything is replaced",
			t.taken, t.address, here)}
	}
	return nil
}

// open connects to the database and to another one of the server, as far as there
// is one that lets us in.
func (t *target) open(ctx context.Context) (err error) {
	for _, s := range []**session{&t.inside, &t.server} {
		if *s != nil && !t.answers(ctx, *s) {
			(*s).end() // it was lost, or ended with the context of an earlier call
			*s = nil
		}
	}
	if t.inside == nil {
		t.inside, err = t.connect(ctx, t.database, swapWait)
		if err != nil && code(err) != codeNoDatabase {
			return err
		}
	}
	if t.server != nil {
		return nil
	}
	for _, other := range []string{"postgres", "template1"} {
		if other == t.database {
			continue
		}
		t.server, t.refused = t.connect(ctx, other, swapWait)
		if t.refused == nil || ctx.Err() != nil {
			return t.refused
		}
	}
	if t.inside == nil {
		return fmt.Errorf("there is no database %s, and to create it user %s must connect to database postgres: %w", t.database, t.user, t.refused)
	}
	return nil
}

// answers reports whether a session can still be used.
func (t *target) answers(ctx context.Context, s *session) bool {
	ctx, cancel := engines.Answering(ctx, t.at(), t.answer)
	defer cancel()
	return s.exec(ctx, "SELECT 1") == nil
}

// any is a session in whatever database of the server.
func (t *target) any() *session {
	if t.inside == nil {
		return t.server
	}
	return t.inside
}

// rights are what the user may do.
type rights struct {
	rename bool // all schemas of the database can be put aside
	create bool // a database can be created beside it, and take its place
}

func (t *target) rights(ctx context.Context) (r rights, err error) {
	if t.server != nil {
		r.create, err = t.server.yes(ctx, "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
		if err != nil {
			return r, err
		}
	}
	if t.inside == nil {
		return r, nil
	}
	row, err := t.inside.row(ctx, `SELECT has_database_privilege(current_database(), 'CREATE') AND NOT EXISTS (
			SELECT FROM pg_namespace WHERE oid IN (`+mine+`) AND NOT pg_has_role(nspowner, 'USAGE'))
		AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace IN (`+mine+`) AND relkind IN ('r', 'p')
			AND NOT has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE')),
		pg_has_role(datdba, 'USAGE'), pg_is_in_recovery() FROM pg_database WHERE datname = current_database()`)
	if err != nil {
		return r, err
	}
	if row[2] == "t" {
		return r, fmt.Errorf("%s is a standby, on which nothing can be written: restore on its primary", t.at())
	}
	r.rename, r.create = row[0] == "t", r.create && row[1] == "t"
	return r, nil
}

// allowed refuses a user who can neither put schemas aside nor create a database.
func (t *target) allowed(ctx context.Context) error {
	r, err := t.rights(ctx)
	if err != nil || r.rename || r.create {
		return err
	}
	cures, err := t.creating(ctx)
	if err != nil {
		return err
	}
	if t.inside == nil {
		return fmt.Errorf("user %s at PostgreSQL %s may not create database %s: %s; or, with less: CREATE DATABASE %s OWNER %s", t.user, t.address, t.database, cures,
			quote(t.database), quote(t.user))
	}
	return fmt.Errorf("user %s at PostgreSQL %s can neither put the schemas of database %s aside nor create another beside it: %s",
		t.user, t.address, t.database, cures)
}

// creating names what the user lacks to create a database that takes the place of the
// current one. The current one stays its owner's: who is a member of that role may as much.
func (t *target) creating(ctx context.Context) (string, error) {
	role := quote(t.user)
	row, err := t.any().row(ctx, `SELECT u.rolcreatedb OR u.rolsuper, coalesce(pg_has_role(datdba, 'USAGE'), true), quote_ident(o.rolname), o.rolsuper
		FROM pg_roles u LEFT JOIN pg_database ON datname = `+literal(t.database)+` LEFT JOIN pg_roles o ON o.oid = datdba WHERE u.rolname = current_user`)
	if err != nil {
		return "", err
	}
	var cures []string
	if t.server == nil {
		cures = append(cures, "GRANT CONNECT ON DATABASE postgres TO "+role)
	}
	if row[0] != "t" {
		cures = append(cures, fmt.Sprintf("ALTER ROLE %s CREATEDB", role))
	}
	switch {
	case row[1] == "t":
	case row[3] == "t": // to be a superuser would be too much
		cures = append(cures, fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", quote(t.database), role))
	default:
		cures = append(cures, fmt.Sprintf("GRANT %s TO %s", row[2], role))
	}
	return strings.Join(cures, "; "), nil
}

// lockKey is the number of the lock under which restores of a database exclude
// each other.
func (t *target) lockKey() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("holdfast:" + t.database)) // never fails
	return int64(h.Sum64())
}

// lock takes the lock in both sessions, or makes sure that it is still held.
func (t *target) lock(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	for _, s := range []*session{t.server, t.inside} {
		if s == nil {
			continue
		}
		if err := t.lockIn(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) lockIn(ctx context.Context, s *session) error {
	key := t.lockKey()
	held, err := s.yes(ctx, fmt.Sprintf(`SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = %d AND objid = %d AND objsubid = 1`,
		uint32(uint64(key)>>32), uint32(key)))
	if err != nil || held {
		return err
	}
	for deadline := t.now().Add(lockWait); ; {
		got, err := s.yes(ctx, fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", key))
		if err != nil || got {
			return err
		}
		if t.now().After(deadline) {
			return fmt.Errorf("database %s at PostgreSQL %s: another restore is working on it", t.database, t.address)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// do executes statements, one after the other, that change what a restore is about.
func (t *target) do(ctx context.Context, s *session, statements ...string) error {
	for _, statement := range statements {
		if t.step != nil {
			if err := t.step(statement); err != nil {
				return err
			}
		}
		if err := s.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Swap implements engines.Target.
func (t *target) Swap(ctx context.Context) error {
	r, j, err := t.begun(ctx)
	switch {
	case err != nil:
		return err
	case j.Phase == phaseSwapped:
		return nil
	case j.Phase != phaseStaged:
		return fmt.Errorf("database %s: restore %s is not staged", t.database, t.token)
	}
	if _, err := t.untied(ctx); err != nil { // of what has come since the plan
		return err
	}
	return r.swap(ctx, j)
}

// Revert implements engines.Target.
func (t *target) Revert(ctx context.Context) error {
	r, j, err := t.begun(ctx)
	switch {
	case err != nil:
		return err
	case j.Phase == phaseDiscarding:
		return fmt.Errorf("database %s: restore %s cannot be reverted, its retired data are being removed", t.database, t.token)
	case j.Phase != phaseSwapped:
		return nil
	}
	return r.revert(ctx, j)
}

// Discard implements engines.Target.
func (t *target) Discard(ctx context.Context) error {
	r, j, err := t.begun(ctx)
	if err != nil {
		return err
	}
	if j.Phase == phaseSwapped || j.Phase == phaseDiscarding {
		if err := t.keepRoles(ctx); err != nil {
			return err
		}
		return r.discard(ctx, j)
	}
	if r != nil {
		if err := r.discard(ctx, j); err != nil {
			return err
		}
	}
	return t.dropRoles(ctx)
}

// Retired implements engines.Target.
func (t *target) Retired(ctx context.Context) (engines.Source, error) {
	r, j, err := t.begun(ctx)
	if err != nil {
		return nil, err
	}
	if j.Phase != phaseSwapped {
		return nil, fmt.Errorf("database %s: restore %s has not swapped, so nothing is retired", t.database, t.token)
	}
	return &source{place: t.place, now: t.now, retired: r.retired(j)}, nil
}

// Close implements engines.Target.
func (t *target) Close() error {
	t.inside.end()
	t.server.end()
	t.inside, t.server = nil, nil
	return nil
}

// beside names a database that belongs to one restore of database.
func beside(database, infix, token string) string {
	tail := infix + token[:10]
	return strings.ToValidUTF8(database[:min(len(database), maxName-len(tail))], "") + tail
}
