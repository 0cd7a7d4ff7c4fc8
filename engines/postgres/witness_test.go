package postgres

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Whoever writes to the database between the mark and the release is noticed, also
// when he came and went meanwhile. Readers and neighbours are not, where nobody else
// writes meanwhile.
func TestWritesAfterTheMarkAreNoticed(t *testing.T) {
	s := newShop(t, "autovacuum=off")
	s.server.Exec("postgres", "CREATE DATABASE neighbour")
	s.in("shop", "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	stays, err := s.source(s.service("site", "shop")).connect(t.Context(), "shop", time.Second)
	s.must(err)
	defer stays.end()
	long := func(statement string) func() {
		return func() {
			s.must(stays.exec(t.Context(), statement))
		}
	}
	for i, c := range []struct {
		name  string
		after func()
		moved string
	}{
		{"nobody", func() { time.Sleep(time.Second) }, ""},
		{"a checkpoint", func() { s.server.Exec("postgres", "CHECKPOINT") }, ""},
		{"a reader", long("SELECT count(*) FROM public.t"), ""},
		{"a neighbour", func() { s.server.Exec("neighbour", "CREATE TABLE u (v INT); DROP TABLE u") }, ""},
		{"a cron that comes and goes", func() { s.in("shop", "INSERT INTO t VALUES (-1, 0)") }, "a session that began meanwhile"},
		{"a worker that stays", long("SET application_name = 'worker'; UPDATE public.t SET v = v + 1"), "by worker"},
	} {
		source, _, _ := s.marked()
		c.after()
		moved, err := source.Moved(t.Context())
		if err != nil || (moved != "") != (c.moved != "") || !strings.Contains(moved, c.moved) {
			t.Errorf("%d, %s, after the mark: %q, %v; want %q", i, c.name, moved, err, c.moved)
		}
		s.must(source.Close())
	}
}

// What vacuums and counts rows by itself writes, too, and is nobody.
func TestTheServersOwnWritesAreNotNoticed(t *testing.T) {
	s := newShop(t, "autovacuum_naptime=1s", "autovacuum_analyze_threshold=10", "autovacuum_vacuum_threshold=10",
		"autovacuum_vacuum_insert_threshold=10", "checkpoint_timeout=30s")
	s.in("shop", "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	analyzed := "SELECT coalesce(sum(autoanalyze_count), 0) FROM pg_stat_user_tables"
	before := s.value("shop", analyzed)
	s.in("shop", "INSERT INTO t SELECT g, g FROM generate_series(1, 10000) g")
	source, _, _ := s.marked()
	watching := s.server.Open("postgres") // of its own, so that no client of shop comes
	defer watching.Close(context.Background())
	for range 300 {
		if r, err := watching.Exec(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = 'shop'").ReadAll(); err != nil {
			t.Fatal(err)
		} else if string(r[0].Rows[0][0]) != "0" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
	if moved, err := source.Moved(t.Context()); err != nil || moved != "" {
		t.Errorf("the server's own vacuum passes for somebody: %q, %v", moved, err)
	}
	if after := s.value("shop", analyzed); after == before {
		t.Errorf("the server has not counted rows by itself (%s, %s): the test does not test that", before, after)
	}
}
