package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/engines"
)

// keep lets somebody keep table a locked, who then does nothing, in no database.
func (s shop) keep() (id uint64, letGo func()) {
	s.Helper()
	conn, err := s.db.Conn(s.Context())
	s.must(err)
	s.must(conn.QueryRowContext(s.Context(), "SELECT CONNECTION_ID()").Scan(&id))
	_, err = conn.ExecContext(s.Context(), "LOCK TABLES shop.a WRITE")
	s.must(err)
	s.Cleanup(func() { conn.Close() })
	return id, func() {
		_, _ = conn.ExecContext(context.Background(), "UNLOCK TABLES") // the test may have ended
	}
}

// TestSomebodyElsesLockIsWaitedForAndLosesNoPoint: it is not us whom others wait for
// meanwhile.
func TestSomebodyElsesLockIsWaitedForAndLosesNoPoint(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (7)")
	source, memory, _ := s.marked("root", "", "shop")
	_, letGo := s.keep()
	visited := make(chan error, 1)
	go func() {
		var n sql.NullInt64
		visited <- s.db.QueryRow("SELECT id FROM shop.a").Scan(&n)
	}()
	time.AfterFunc(2500*time.Millisecond, letGo)
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	s.must(<-visited)
	if text := s.joined(memory, result); !strings.Contains(text, "(7)") {
		t.Error(text)
	}
}

// locked is what is said of a table that somebody does not stop to keep locked.
func (s shop) locked() string {
	s.Helper()
	source, memory, _ := s.marked("root", "", "shop")
	defer source.Close()
	for _, reader := range source.readers {
		s.must(reader.exec(s.Context(), "SET SESSION lock_wait_timeout = 2"))
	}
	_, err := source.Send(s.Context(), memory)
	if number(err) != errLockTimeout || errors.Is(err, engines.ErrPointLost) {
		s.Fatal(err)
	}
	return err.Error()
}

// mysqlLocked: MySQL tells by itself.
func mysqlLocked(s shop) {
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	id, letGo := s.keep()
	defer letGo()
	if said := s.locked(); !strings.Contains(said, fmt.Sprintf("kept by connection %d of user root (Sleep for ", id)) {
		s.Error(said)
	}
}

// TestWhoKeepsATableLockedIsNamed where the server tells, and where it does not, how to ask
// it. The list of connections would show only one that sleeps.
func TestWhoKeepsATableLockedIsNamed(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	id, letGo := s.keep()
	defer letGo()
	said := s.locked()
	if !strings.Contains(said, "table shop.a: somebody keeps it locked") || strings.Contains(said, "waited for more") {
		t.Error(said)
	}
	_, ask, _ := strings.Cut(said, " with INSTALL")
	ask, _, _ = strings.Cut("INSTALL"+ask, ": Error")
	s.server.Exec(strings.Split(ask, "; ")...)
	if said := s.locked(); !strings.Contains(said, fmt.Sprintf("connection %d of user root (Sleep for ", id)) || !strings.Contains(said, fmt.Sprintf("KILL %d ends", id)) {
		t.Error(said)
	}
}

// TestWhoKeepsASwapFromRenamingIsNamed: a connection in a transaction does, or one that
// sleeps after LOCK TABLES.
func TestWhoKeepsASwapFromRenamingIsNamed(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)")
	memory, result, _ := s.capture("shop")
	target := s.target("root", "", "shop", testToken)
	_, err := target.Stage(t.Context(), result.Entries, memory)
	s.must(err)
	id, letGo := s.keep()
	if err := target.Swap(t.Context()); number(err) != errLockTimeout || !strings.Contains(err.Error(), "INSTALL SONAME 'metadata_lock_info'") {
		t.Error(err)
	}
	s.must(target.Revert(t.Context()))
	s.server.Exec("INSTALL SONAME 'metadata_lock_info'")
	if err := target.Swap(t.Context()); number(err) != errLockTimeout || !strings.Contains(err.Error(), fmt.Sprintf("kept by connection %d of user root", id)) {
		t.Error(err)
	}
	letGo()
	s.must(target.Revert(t.Context()))
	s.must(target.Swap(t.Context()))
	s.must(target.Discard(t.Context()))
}
