package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

const (
	// swapWait bounds how long a swap waits for transactions that use the tables.
	swapWait = 5 * time.Second
	// lockWait bounds how long a restore waits for the connections of one that has
	// just died to be noticed by the server.
	lockWait = 10 * time.Second
)

// target replaces one database.
type target struct {
	place
	token   string
	staging string // database in which the new data are built; has the journal
	retired string // database to which a swap moves the current data
	now     func() time.Time
	// step, in tests, is called before every statement that changes something in a
	// swap, revert or discard; its error ends the call as the end of the process would.
	step func(statement string) error

	db      *sql.DB
	control *session // holds the lock; all but loading is done on it, in order
}

// Plan implements engines.Target.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	if _, err := dump.Top(entries); err != nil {
		return engines.Plan{}, fmt.Errorf("service %s: %w", t.service, err)
	}
	if err := t.open(ctx); err != nil {
		return engines.Plan{}, err
	}
	if err := t.writable(ctx); err != nil {
		return engines.Plan{}, err
	}
	plan, err := t.replaces(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	plan.Warnings = append(t.warnings(), t.control.warnOfPrepared(ctx)...)
	if t.accounts {
		plan.Warnings = append(plan.Warnings, "users and roles that the snapshot holds and the server lacks are created; those that exist are left as they are")
	}
	return plan, nil
}

// warnings says what may not work because the servers differ.
func (t *target) warnings() []string {
	here := t.control.server
	differs := ""
	switch product, _, _ := strings.Cut(t.taken, " "); {
	case t.taken == "":
		return nil
	case product != here.product():
		differs = "another product"
	case engines.Older(here.String(), t.taken, 2):
		differs = "older"
	default:
		return nil
	}
	return []string{fmt.Sprintf("the snapshot is of %s, and the server at %s is %v, which is %s: what it does not know fails the restore before anything is replaced",
		t.taken, t.address, here, differs)}
}

// writable refuses a server that takes writes from no such user, as replicas do: what is begun
// there could not be taken back either.
func (t *target) writable(ctx context.Context) error {
	here, variable := t.control.server, "@@GLOBAL.read_only"
	g, err := t.control.grants(ctx)
	if err != nil {
		return err
	}
	switch {
	case here.mysql && (g.allow("CONNECTION_ADMIN", "") || g.allow("SUPER", "")):
		variable = "@@GLOBAL.super_read_only"
	case !here.mysql && (g.allow("READ_ONLY ADMIN", "") || !here.atLeast(10, 11, 0) && g.allow("SUPER", "")):
		return nil
	}
	var set string
	if err := t.control.one(ctx, "SELECT "+variable, &set); err != nil || set == "0" || set == "OFF" {
		return err
	}
	return fmt.Errorf("%s is read-only (%s), as a replica is: restore on its primary, or into a server that may be written to", t.at(), strings.TrimPrefix(variable, "@@GLOBAL."))
}

// replaces looks at what is there now, and refuses what could not be replaced.
func (t *target) replaces(ctx context.Context) (engines.Plan, error) {
	if err := t.privileges(ctx); err != nil {
		return engines.Plan{}, err
	}
	exists, err := t.exists(ctx, t.database)
	if err != nil || !exists {
		return engines.Plan{Creates: true}, err
	}
	if err := t.control.use(ctx, t.database); err != nil {
		return engines.Plan{}, err
	}
	objects, err := t.replaceable(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	names, err := t.control.names(ctx)
	if err != nil || len(names)+len(objects) == 0 {
		return engines.Plan{Creates: true}, err
	}
	extent, err := t.control.extent(ctx)
	if err != nil {
		return engines.Plan{}, err
	}
	plan := engines.Plan{Replaces: fmt.Sprintf("database %s (%s)", t.database, extent)}
	_, plan.Unreadable = t.control.catalog(ctx) // what no snapshot can be taken of, none is taken of later either
	plan.Unsaved, err = t.unsaved(ctx)
	return plan, err
}

// open connects, if that has not been done.
func (t *target) open(ctx context.Context) (err error) {
	if t.control != nil {
		probing, cancel := engines.Answering(ctx, t.at(), t.answer)
		err := t.control.PingContext(probing)
		cancel()
		if err == nil {
			return nil
		}
		_ = t.control.Close() // it was lost, or ended with the context of an earlier call
		t.control = nil
	}
	if t.db == nil {
		if t.db, err = t.pool(); err != nil {
			return err
		}
	}
	t.control, err = t.connect(ctx, t.db, "", swapWait)
	if err != nil {
		return err
	}
	t.known = t.control.server.product()
	// A RENAME that has locked the tables' definitions, and all visitors out, may still wait
	// for a lock of InnoDB's: what loads needs no such bound, nobody else is there.
	set := fmt.Sprintf("SET SESSION foreign_key_checks = 0, innodb_lock_wait_timeout = %d", int(swapWait.Seconds()))
	if !t.control.server.mysql {
		set += ", system_versioning_alter_history = 'KEEP'"
	}
	err = t.control.exec(ctx, set)
	if err == nil && t.control.server.restrictsKeys() {
		err = t.control.exec(ctx, looseKeys)
	}
	return err
}

// whole is what is needed on a database to fill, empty and swap it.
var whole = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER",
	"CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE", "EVENT", "TRIGGER"}

// privileges refuses a user who cannot create the databases that a restore needs
// beside the current one, or put its contents there; with all that is missing, each in
// a line of its own.
func (t *target) privileges(ctx context.Context) error {
	g, err := t.control.grants(ctx)
	if err != nil {
		return err
	}
	lacks, err := t.lacks(ctx, g)
	if err != nil {
		return err
	}
	lacks = append(lacks, t.mayCreateAccounts(ctx, g))
	if len(lacks) > 1 { // told beside the others, where the database can be looked into
		if exists, err := t.exists(ctx, t.database); exists && err == nil && t.control.use(ctx, t.database) == nil {
			if _, err := t.replaceable(ctx); isDefinitionError(err) {
				lacks = append(lacks, err)
			}
		}
	}
	return errors.Join(lacks...)
}

// lacks are the privileges on databases that are missing.
func (t *target) lacks(ctx context.Context, g grants) (lacks []error, err error) {
	refuse := func(missing []string, what, pattern string) error {
		line, err := t.control.grantLine(ctx, "ALL PRIVILEGES", pattern)
		lacks = append(lacks, fmt.Errorf("user %s at %s %s lacks %s on %s: %s", t.user, t.product(), t.address, strings.Join(missing, ", "), what, line))
		return err
	}
	if missing := g.missing(t.database, whole...); len(missing) > 0 {
		err = refuse(missing, "database "+t.database, escapePattern(t.database))
	}
	for _, beside := range []string{t.staging, t.retired} {
		if missing := g.missing(beside, whole...); len(missing) > 0 && err == nil {
			prefix := []rune(beside)
			prefix = prefix[:len(prefix)-len("hf_0123456789")]
			err = refuse(missing, "the databases that a restore of "+t.database+" is built in, such as "+beside,
				escapePattern(string(prefix))+`h_\_%`)
			break // the other one has the same pattern
		}
	}
	return lacks, err
}

// replaceable refuses a database that could not be put back as it was, or that
// another one depends on. It returns the database's objects.
func (t *target) replaceable(ctx context.Context) ([]object, error) {
	outside, err := t.control.strings(ctx, `SELECT DISTINCT CONCAT(table_schema, '.', table_name)
		FROM information_schema.key_column_usage
		WHERE referenced_table_schema = DATABASE() AND table_schema <> DATABASE() ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	if len(outside) > 0 {
		return nil, fmt.Errorf("database %s: foreign keys of %s refer to its tables and would follow them: drop those keys first",
			t.database, strings.Join(outside, ", "))
	}
	c, err := t.control.defaults(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := t.control.objects(ctx, c.collation)
	if err != nil {
		return nil, err
	}
	return objects, errors.Join(t.mayDefine(ctx, objects), t.mayCreate(ctx, objects))
}

// mayDefine refuses objects that somebody else has defined, where the user could not
// create them so.
func (t *target) mayDefine(ctx context.Context, objects []object) error {
	mine, err := t.definers(ctx)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if mine(o) {
			continue
		}
		line, err := t.control.grantLine(ctx, strings.Join(t.control.server.asAnybody(), ", "), "")
		if err != nil {
			return err
		}
		return &definitionError{fmt.Sprintf("database %s: %s is defined by %s, and user %s could not put it back: %s",
			t.database, o.label(), o.definer(), t.user, line)}
	}
	return nil
}

// definitionError says that the user could not create a view, routine, trigger or event.
type definitionError struct{ text string }

func (e *definitionError) Error() string { return e.text }

func isDefinitionError(err error) bool {
	_, is := errors.AsType[*definitionError](err)
	return is
}

// definers returns whether an object can be created with the definer it has.
func (t *target) definers(ctx context.Context) (func(object) bool, error) {
	g, err := t.control.grants(ctx)
	if err != nil {
		return nil, err
	}
	if g.allow("SUPER", "") || len(g.missing("", t.control.server.asAnybody()...)) == 0 {
		return func(object) bool { return true }, nil
	}
	var user string
	var role sql.NullString
	err = t.control.one(ctx, "SELECT CURRENT_USER(), CURRENT_ROLE()", &user, &role)
	return func(o object) bool {
		d := o.definer()
		return d == "" || d == user || role.Valid && d == role.String
	}, err
}

// exists reports whether a database exists.
func (t *target) exists(ctx context.Context, database string) (bool, error) {
	found, err := t.control.strings(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = "+literal(database))
	return slices.Contains(found, database), err
}

// lockName is the server-wide name under which restores of a database exclude
// each other.
func (t *target) lockName() string {
	name := "holdfast:" + t.database
	if len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(t.database))
	return "holdfast:" + hex.EncodeToString(sum[:20])
}

// lock takes the lock, or makes sure that it is still held.
func (t *target) lock(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	if err := t.control.restoreSettings(ctx); err != nil {
		return err
	}
	name := literal(t.lockName())
	var holder sql.NullInt64
	if err := t.control.one(ctx, "SELECT IS_USED_LOCK("+name+")", &holder); err != nil {
		return err
	}
	if holder.Valid && uint64(holder.Int64) == t.control.id {
		return nil
	}
	var got sql.NullInt64
	if err := t.control.one(ctx, fmt.Sprintf("SELECT GET_LOCK(%s, %d)", name, int(lockWait.Seconds())), &got); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return fmt.Errorf("database %s at %s %s: another restore is working on it (connection %d)", t.database, t.product(), t.address, holder.Int64)
	}
	return nil
}

// do executes statements, one after the other, that change what a restore is about.
func (t *target) do(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if t.step != nil {
			if err := t.step(statement); err != nil {
				return err
			}
		}
		if err := t.control.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// use makes database the one in which names are looked up.
func (s *session) use(ctx context.Context, database string) error {
	if err := s.exec(ctx, "USE "+quote(database)); err != nil {
		return err
	}
	s.current = database
	return nil
}

// Retired implements engines.Target.
func (t *target) Retired(ctx context.Context) (engines.Source, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	j, found, err := t.readJournal(ctx)
	if err != nil {
		return nil, err
	}
	if found && j.Phase == phaseSwapping {
		if j, err = t.swapped(ctx, j); err != nil {
			return nil, err
		}
	}
	if !found || j.Phase != phaseSwapped {
		return nil, fmt.Errorf("database %s: restore %s has not swapped, so nothing is retired", t.database, t.token)
	}
	return &source{place: t.place, now: t.now, retired: &retiredData{database: t.retired, charset: j.Charset,
		collation: j.Collation, objects: j.Old, at: j.Swapped}}, nil
}

// Close implements engines.Target.
func (t *target) Close() error {
	if t.db == nil {
		return nil
	}
	if t.control != nil {
		_ = t.control.Close() // the pool closes what is left
	}
	err := t.db.Close()
	t.db, t.control = nil, nil
	return err
}
