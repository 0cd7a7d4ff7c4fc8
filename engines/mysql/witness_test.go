package mysql

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/testserver"
)

// Whoever writes to the database between the mark and the release is noticed, with a
// binary log and without. Readers, neighbours and the server itself are not.
func TestWritesAfterTheMarkAreNoticed(t *testing.T) {
	for _, server := range []struct {
		name  string
		table string // how what was written is called
		make  func() shop
	}{
		{"MariaDB with a binary log of statements", "a statement", func() shop { return newShop(t, testserver.Binlog) }},
		{"MariaDB with one of rows", "orders", func() shop { return newShop(t, testserver.Binlog, "--binlog-format=row") }},
		{"MariaDB without", "orders", func() shop { return newShop(t) }},
		{"MySQL", "orders", func() shop {
			s := testserver.MySQL(t)
			s.Exec("CREATE DATABASE shop")
			db := s.Open("root", "", "")
			t.Cleanup(func() { db.Close() })
			return shop{t, s, db}
		}},
	} {
		s := server.make()
		s.in("shop", "CREATE DATABASE neighbour", "CREATE TABLE neighbour.u (id INT PRIMARY KEY, v INT)",
			"CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, v INT)", "INSERT INTO orders (v) VALUES (1), (2), (3)")
		time.Sleep(1100 * time.Millisecond) // without a log, tables know the second of their last change
		for _, c := range []struct {
			name, statement, moved string
		}{
			{"nobody", "SELECT SLEEP(1)", ""},
			{"a reader", "SELECT COUNT(*) FROM orders", ""},
			{"a neighbour", "", ""},
			{"a checkpoint", "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS", ""},
			{"a cron", "INSERT INTO orders (v) VALUES (4)", server.table},
			{"one who changes", "UPDATE orders SET v = v + 1", server.table},
			{"one who deletes", "DELETE FROM orders WHERE v = 2", server.table},
		} {
			source, _, _ := s.marked("root", "", "shop")
			if c.statement == "" {
				s.in("neighbour", "INSERT INTO u VALUES (1, 1) ON DUPLICATE KEY UPDATE v = v + 1")
			} else {
				s.in("shop", c.statement)
			}
			moved, err := source.Moved(t.Context())
			if err != nil || (moved != "") != (c.moved != "") || !strings.Contains(moved, c.moved) {
				t.Errorf("%s: %s, after the mark: %q, %v; want %q", server.name, c.name, moved, err, c.moved)
			}
			source.Close()
		}
	}
}

// Who may not read the binary log is told that somebody wrote, and what would tell more.
func TestWhoWroteIsNotKnownToEverybody(t *testing.T) {
	s := newShop(t, testserver.Binlog)
	s.in("shop", "CREATE TABLE orders (id INT PRIMARY KEY)", "CREATE USER site@'%' IDENTIFIED BY 'x'", "GRANT ALL ON shop.* TO site@'%'")
	source, _, _ := s.marked("site", "x", "shop")
	if moved, err := source.Moved(t.Context()); err != nil || moved != "" {
		t.Errorf("nobody wrote: %q, %v", moved, err)
	}
	s.in("shop", "INSERT INTO orders VALUES (1)")
	if moved, err := source.Moved(t.Context()); err != nil || !strings.Contains(moved, "BINLOG MONITOR") {
		t.Errorf("%q, %v", moved, err)
	}
}
