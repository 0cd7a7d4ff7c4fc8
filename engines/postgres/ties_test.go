package postgres

import (
	"strings"
	"testing"
	"time"

	"holdfast/engines/enginetest"
	"holdfast/internal/tree"
)

// tied is a server that others may follow, with a shop and its snapshot. more makes the
// room.
func tied(t *testing.T, more []string) (shop, *enginetest.Memory, []tree.Entry) {
	s := newShop(t, "wal_level=logical", "max_prepared_transactions=5")
	s.in("shop", append([]string{"CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)"}, more...)...)
	memory, result := s.capture()
	return s, memory, result.Entries
}

// subscribe is a subscription to nobody: it needs no publisher.
const subscribe = "CREATE SUBSCRIPTION inflow CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"

// TestWhatHoldsOnToADatabaseRefusesItsRestore does so when it is planned, and where it
// comes after that, before anything is swapped.
func TestWhatHoldsOnToADatabaseRefusesItsRestore(t *testing.T) {
	for room, more := range rooms {
		s, memory, entries := tied(t, more.more)
		for name, c := range map[string]struct {
			tie, untie func()
			want       []string
		}{
			"subscription": {
				func() { s.server.Exec("shop", subscribe) },
				func() { s.server.Exec("shop", "DROP SUBSCRIPTION inflow") },
				[]string{`subscription "inflow"`, `DROP SUBSCRIPTION "inflow"`, "anew"},
			},
			"prepared transaction": {
				func() {
					s.server.Exec("shop", "BEGIN; INSERT INTO a VALUES (2); PREPARE TRANSACTION 'order ''7'", "SELECT pg_sleep(1.1)")
				},
				func() { s.server.Exec("shop", "ROLLBACK PREPARED 'order ''7'") },
				[]string{"prepared transaction 'order ''7'", "COMMIT PREPARED 'order ''7'", "ROLLBACK PREPARED 'order ''7'"},
			},
		} {
			t.Run(room+"/"+name, func(t *testing.T) {
				s := shop{t, s.server}
				refused := func(err error) {
					t.Helper()
					if err == nil {
						t.Fatal("it was not refused")
					}
					for _, want := range append(c.want, "database shop") {
						if !strings.Contains(err.Error(), want) {
							t.Errorf("%q is not in: %v", want, err)
						}
					}
				}
				c.tie()
				_, err := s.target("site", "shop").Plan(t.Context(), entries)
				refused(err)
				c.untie()
				target, _ := s.stage("shop", memory, entries)
				c.tie()
				visitor := s.server.Open("shop")
				refused(target.Swap(t.Context()))
				s.must(visitor.Exec(t.Context(), "SELECT 1").Close()) // nobody's session was ended
				s.must(visitor.Close(t.Context()))
				c.untie()
				s.must(target.Swap(t.Context()))
				s.must(target.Discard(t.Context()))
			})
		}
	}
}

func TestASubscriptionInRetiredDataIsNamed(t *testing.T) {
	s, memory, entries := tied(t, rooms["database"].more)
	target, _ := s.stage("shop", memory, entries)
	s.must(target.Swap(t.Context()))
	retired := beside("shop", "_hr_", testToken)
	s.server.Exec(retired, subscribe)
	s.alone(retired)
	if err := target.Discard(t.Context()); err == nil || !strings.Contains(err.Error(), retired) || !strings.Contains(err.Error(), `DROP SUBSCRIPTION "inflow"`) {
		t.Error(err)
	}
	s.server.Exec(retired, "DROP SUBSCRIPTION inflow")
	s.alone(retired)
	s.must(target.Discard(t.Context()))
}

// alone waits until the server has ended what was connected to database: site may not
// end a superuser's session.
func (s shop) alone(database string) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); s.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = "+literal(database)) != "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatal("sessions are left in " + database)
		}
	}
}

// TestATransactionPreparedSinceTheSwapIsNamedByItsRevert is about the moment in which
// nothing was looked at beforehand.
func TestATransactionPreparedSinceTheSwapIsNamedByItsRevert(t *testing.T) {
	s, memory, entries := tied(t, rooms["database"].more)
	target, _ := s.stage("shop", memory, entries)
	s.must(target.Swap(t.Context()))
	s.server.Exec("shop", "BEGIN; INSERT INTO a VALUES (2); PREPARE TRANSACTION 'seven'")
	if err := target.Revert(t.Context()); err == nil || !strings.Contains(err.Error(), "ROLLBACK PREPARED 'seven'") || strings.Contains(err.Error(), "pg_signal_backend") {
		t.Error(err)
	}
	s.server.Exec("shop", "ROLLBACK PREPARED 'seven'")
	s.must(target.Revert(t.Context()))
}

func TestSlotsThatFollowADatabaseAreNamed(t *testing.T) {
	s, _, entries := tied(t, nil)
	s.server.Exec("shop", "SELECT pg_create_logical_replication_slot(name, 'pgoutput') FROM unnest(ARRAY['one', 'three']) name")
	s.server.Exec("postgres", "SELECT pg_create_logical_replication_slot('elsewhere', 'pgoutput')", "SELECT pg_create_physical_replication_slot('standby')")
	plan, err := s.target("site", "shop").Plan(t.Context(), entries)
	s.must(err)
	if said := strings.Join(plan.Warnings, "\n"); !strings.Contains(said, "replaces: one, three") || strings.Contains(said, "elsewhere") || strings.Contains(said, "standby") {
		t.Errorf("warnings: %s", said)
	}
	follower := s.server.Open("shop")
	defer follower.Close(t.Context())
	s.must(follower.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('two', 'pgoutput', temporary => true)").Close())
	_, err = s.target("site", "shop").Plan(t.Context(), entries)
	if err == nil || !strings.Contains(err.Error(), "logical replication slot two is in use") || !strings.Contains(err.Error(), "DISABLE") {
		t.Error(err)
	}
}
