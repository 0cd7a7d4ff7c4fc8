package mysql

import (
	"context"
	"strings"
	"testing"
	"time"
)

// prepare leaves a transaction behind that has changed table a, without a connection.
func (s shop) prepare(xid string) {
	s.Helper()
	conn, err := s.db.Conn(s.Context())
	s.must(err)
	var id string
	s.must(conn.QueryRowContext(s.Context(), "SELECT CONNECTION_ID()").Scan(&id))
	for _, statement := range []string{"XA START " + xid, "INSERT INTO shop.a VALUES (7)", "XA END " + xid, "XA PREPARE " + xid} {
		_, err := conn.ExecContext(s.Context(), statement)
		s.must(err)
	}
	s.server.Exec("KILL CONNECTION " + id)
	_ = conn.Close() // it has ended
	for s.value("SELECT COUNT(*) FROM information_schema.processlist WHERE id = "+id) != "0" {
		continue
	}
}

// A prepared transaction keeps its locks: a swap must not keep all visitors out for as
// long as InnoDB would wait for them.
func TestAPreparedTransactionIsNamedAndNotWaitedForLong(t *testing.T) {
	s := newShop(t, "--innodb-lock-wait-timeout=100000")
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	memory, result, _ := s.capture("shop")
	s.prepare("'it','s',3")
	target := s.target("root", "", "shop", testToken)
	plan, err := target.Plan(t.Context(), result.Entries)
	s.must(err)
	if warned := strings.Join(plan.Warnings, "\n"); !strings.Contains(warned, "XA ROLLBACK") || !strings.Contains(warned, "'it','s',3") {
		t.Errorf("before the restore: %q", plan.Warnings)
	}
	_, err = target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // not to hang for as long as the server would
	defer cancel()
	err = target.Swap(ctx)
	if number(err) != errLockTimeout || !strings.Contains(err.Error(), "'it','s',3") {
		t.Fatalf("the swap: %v", err)
	}
	s.must(target.Revert(t.Context()))
	s.in("shop", "INSERT INTO b VALUES (1)")
	s.server.Exec("XA ROLLBACK 'it','s',3")
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
}

func TestNamesOfPreparedTransactions(t *testing.T) {
	for want, got := range map[string]string{
		"'a'":          nameOfXA(1, []byte("a"), nil),
		"'a','b'":      nameOfXA(1, []byte("a"), []byte("b")),
		"'a','',0":     nameOfXA(0, []byte("a"), nil),
		"X'00','b',-1": nameOfXA(-1, []byte("\x00"), []byte("b")),
		"X'6127'":      nameOfXA(1, []byte("a'"), nil),
		"X'615c'":      nameOfXA(1, []byte("a\\"), nil),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
