package mysql

import (
	"testing"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// shopWithTriggers returns a shop with triggers on three tables, what is in it, and the
// snapshot of its earlier state.
func shopWithTriggers(t *testing.T, options ...string) (s shop, before string, memory *enginetest.Memory, entries []tree.Entry) {
	s = newShop(t, options...)
	for _, table := range []string{"a", "b", "c"} {
		s.in("shop", "CREATE TABLE "+table+" (id INT PRIMARY KEY)",
			"CREATE TRIGGER z_"+table+" BEFORE INSERT ON "+table+" FOR EACH ROW SET @x = 1",
			"CREATE TRIGGER y_"+table+" BEFORE INSERT ON "+table+" FOR EACH ROW SET @x = 2")
	}
	memory, result, _ := s.capture("shop")
	s.in("shop", "INSERT INTO a VALUES (5)", "CREATE TRIGGER late AFTER INSERT ON b FOR EACH ROW SET @x = 3")
	return s, s.dump("shop"), memory, result.Entries
}

// Somebody's long transaction keeps the triggers of one table. Those of others, which the
// swap has dropped by then, must come back while it goes on: visitors wait for that.
func TestASwapThatATransactionStopsIsTakenBackWhileThatGoesOn(t *testing.T) {
	for _, busy := range []string{"a", "b", "c"} {
		t.Run(busy, func(t *testing.T) {
			s, before, memory, entries := shopWithTriggers(t)
			target := s.stage(memory, entries)

			conn, err := s.db.Conn(t.Context())
			s.must(err)
			defer conn.Close()
			for _, statement := range []string{"START TRANSACTION", "SELECT * FROM shop." + busy} {
				_, err := conn.ExecContext(t.Context(), statement)
				s.must(err)
			}
			if err := target.Swap(t.Context()); number(err) != errLockTimeout {
				t.Fatal(err)
			}
			s.must(target.Revert(t.Context()))
			s.same(before, s.dump("shop"), "after the revert")
			s.must(target.Discard(t.Context()))
		})
	}
}
