package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/engines/enginetest"
)

// smallParts make parts of every table, of a few rows each.
var smallParts = dump.Reading{Connections: 3, PartsFrom: 1, PartSize: 4 << 10}

// keyed are tables with keys of every kind, and what fills them from the numbers n up
// to 3000. whole says that it is read as one.
var keyed = map[string]struct {
	columns, rows string
	whole         bool
}{
	"numbers":       {"id bigint PRIMARY KEY, v text", "SELECT n, repeat(md5(n::text), n % 7) FROM upto3000", false},
	"negative":      {"id int PRIMARY KEY, v text", "SELECT n - 1500, md5(n::text) FROM upto3000", false},
	"gaps":          {"id bigint PRIMARY KEY", "SELECT CASE WHEN n < 10 THEN n ELSE n + 9000000000000000000 END FROM upto3000", false},
	"decimals":      {"id numeric PRIMARY KEY", "SELECT CASE n WHEN 1 THEN 'NaN' ELSE (n - 1500) / 7.0 END FROM upto3000", false},
	"floats":        {"id float8 PRIMARY KEY", "SELECT CASE n WHEN 1 THEN 'Infinity' ELSE n / 7.0::float8 END FROM upto3000", false},
	"one tenant":    {"tenant int, name text, PRIMARY KEY (tenant, name)", "SELECT CASE WHEN n < 2900 THEN 7 ELSE n END, md5(n::text) FROM upto3000", false},
	"any case":      {`k varchar(40) COLLATE "en-x-icu" PRIMARY KEY`, "SELECT (ARRAY['Ä', 'a', 'ß', 'Z', 'ключ', E'\\\\'''])[n % 6 + 1] || ' ' || md5(n::text) FROM upto3000", false},
	"blind to case": {"k text COLLATE blind PRIMARY KEY", "SELECT (ARRAY['Ä', 'a', 'ß', 'Z'])[n % 4 + 1] || md5(n::text) FROM upto3000", false},
	"padded":        {"k char(40) PRIMARY KEY", "SELECT CASE n WHEN 1 THEN '' ELSE n::text END FROM upto3000", false},
	"hashes":        {"k uuid PRIMARY KEY, v int", "SELECT md5(n::text)::uuid, n FROM upto3000", false},
	"any bytes":     {"k bytea PRIMARY KEY", `SELECT CASE n WHEN 1 THEN ''::bytea ELSE decode(md5(n::text), 'hex') || '\x00'::bytea END FROM upto3000`, false},
	"instants":      {"day date, t timestamptz, i interval, PRIMARY KEY (day, t, i)", "SELECT CASE WHEN n < 900 THEN '-infinity' ELSE date '0044-03-15 BC' END, timestamptz '2026-10-25 00:30Z' + n * interval '1 second', n * interval '1 month' FROM upto3000", false},
	"moods":         {"m mood, n int, PRIMARY KEY (m, n)", "SELECT (ARRAY['sad', 'glad', 'Angry'])[n % 3 + 1]::mood, n FROM upto3000", false},
	"domains":       {`k "Odd Name" PRIMARY KEY`, "SELECT n FROM upto3000", false},
	"composite":     {"k pair PRIMARY KEY", "SELECT ROW(n % 5, n)::pair FROM upto3000", false},
	"arrays":        {"k int[] PRIMARY KEY", "SELECT ARRAY[n % 5, n] FROM upto3000", false},
	"unique":        {"v text, k int NOT NULL UNIQUE", "SELECT 'x', n FROM upto3000", false},
	"no row":        {"id int PRIMARY KEY", "SELECT n FROM upto3000 WHERE false", true},
	"one row":       {"id int PRIMARY KEY", "SELECT n FROM upto3000 LIMIT 1", false},
	"without a key": {"n int", "SELECT n FROM upto3000", true},
}

func TestPartsMakeTheSameStream(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TYPE mood AS ENUM ('sad', 'glad', 'Angry')", "CREATE TYPE pair AS (a int, b int)", `CREATE DOMAIN "Odd Name" AS int CHECK (VALUE > 0)`,
		"CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)", "CREATE TABLE upto3000 AS SELECT n FROM generate_series(1, 3000) n")
	for name, c := range keyed {
		s.in("shop", fmt.Sprintf("CREATE TABLE %s (%s)", quote(name), c.columns), fmt.Sprintf("INSERT INTO %s %s", quote(name), c.rows))
	}
	s.in("shop", "CREATE TABLE falling (a int, b int)", "CREATE UNIQUE INDEX ON falling (a DESC, b)", "ALTER TABLE falling ALTER a SET NOT NULL, ALTER b SET NOT NULL",
		"INSERT INTO falling SELECT n, n FROM upto3000", "ANALYZE")
	for name, c := range keyed {
		s.readBothWays(name, c.whole)
	}
	s.readBothWays("falling", true)
}

// readBothWays reads a table of shop over one connection and over three, at one mark,
// while somebody deletes half of it.
func (s shop) readBothWays(name string, whole bool) {
	s.Run(name, func(t *testing.T) {
		s := shop{t, s.server}
		source := s.source(s.service("site", "shop"))
		source.reading = smallParts
		memory := enginetest.NewMemory()
		s.must(source.Prepare(t.Context(), memory))
		_, err := source.Mark(t.Context(), memory)
		s.must(err)
		tables, err := source.readers[0].tables(t.Context(), nil)
		s.must(err)
		var found *table
		for i := range tables {
			if tables[i].name == name {
				found = &tables[i]
			}
		}
		if found == nil || (found.key == nil) != whole {
			t.Fatalf("table %+v", found)
		}
		var group errgroup.Group
		group.Go(func() error {
			conn := s.server.Open("shop")
			defer conn.Close(context.Background())
			return conn.Exec(context.Background(), fmt.Sprintf("DELETE FROM %s WHERE ctid IN (SELECT ctid FROM %[1]s LIMIT 1500)", quote(name))).Close()
		})
		var streams [2]bytes.Buffer
		readers := [][]*session{source.readers[:1], source.readers}
		if whole {
			readers[1] = readers[0]
		}
		for i := range streams {
			for _, reader := range readers[i] {
				s.must(reader.lock(t.Context(), *found))
				if len(readers[i]) > 1 {
					s.must(reader.exec(t.Context(), indexed))
				}
			}
			rows := readAhead(t.Context(), *found, readers[i])
			_, err := streams[i].ReadFrom(&stream{from: rows})
			s.must(errors.Join(err, rows.Close()))
		}
		s.must(group.Wait())
		s.same(streams[0].String(), streams[1].String(), "in parts")
	})
}

// inParts marks shop, whose table big is then read in parts.
func (s shop) inParts() (*source, *enginetest.Memory) {
	s.Helper()
	source, memory := s.source(s.service("site", "shop")), enginetest.NewMemory()
	source.reading = dump.Reading{Connections: 2, PartsFrom: 1 << 20, PartSize: 1 << 20}
	s.must(source.Prepare(s.Context(), memory))
	_, err := source.Mark(s.Context(), memory)
	s.must(err)
	return source, memory
}

// wideRows are more than all connections together read ahead.
const wideRows = "CREATE TABLE big (id INT PRIMARY KEY, v TEXT); ALTER TABLE big ALTER v SET STORAGE EXTERNAL; " +
	"INSERT INTO big SELECT g, repeat(md5(g::text), 50) FROM generate_series(1, 30000) g; ANALYZE"

func TestAConnectionThatIsLostInAPartFailsTheSnapshot(t *testing.T) {
	s := newShop(t)
	s.in("shop", wideRows)
	for i := range 2 {
		source, memory := s.inParts()
		sink := &slow{Memory: memory, file: "public.big.sql", begun: func() {
			s.server.Exec("shop", fmt.Sprintf("SELECT pg_terminate_backend(%d)", source.readers[i].PID()))
		}}
		result, err := source.Send(t.Context(), sink)
		// pg_dump may not have begun, and finds the snapshot gone with the connection that exported it.
		told := err != nil && (strings.Contains(err.Error(), "table big") || i == 0 && strings.Contains(err.Error(), "invalid snapshot identifier"))
		if !told || errors.Is(err, engines.ErrPointLost) || len(result.Entries) > 0 {
			t.Errorf("connection %d: %v", i, err)
		}
		s.must(source.Close())
	}
}

func TestAPointThatIsLostIsNoticedInParts(t *testing.T) {
	s := newShop(t)
	s.in("shop", wideRows)
	source, memory := s.inParts()
	s.in("shop", "TRUNCATE big", "INSERT INTO big VALUES (1, 'new')")
	if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table big") {
		t.Fatal(err)
	}
	_, err := source.Mark(t.Context(), memory)
	s.must(err)
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if text := s.file(memory, result, "db/tables/public.big.sql"); !strings.Contains(text, "1\tnew\n") {
		t.Errorf("%.300s", text)
	}
}

func TestPartsGiveWayToWhoeverWaits(t *testing.T) {
	s := newShop(t)
	s.in("shop", wideRows)
	source, memory := s.inParts()
	conn := s.server.Open("shop")
	defer conn.Close(t.Context())
	sink := &slow{Memory: memory, file: "public.big.sql", begun: func() {
		// The rest is not read before the ALTER has got what it waits for.
		if err := conn.Exec(context.Background(), "ALTER TABLE big ADD COLUMN w INT").Close(); err != nil {
			t.Error(err)
		}
	}}
	if _, err := source.Send(t.Context(), sink); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table big") {
		t.Fatal(err)
	}
}

func TestCancelEndsAllParts(t *testing.T) {
	s := newShop(t)
	s.in("shop", wideRows)
	source, memory := s.inParts()
	ctx, cancel := context.WithCancel(t.Context())
	sink := &slow{Memory: memory, file: "public.big.sql", begun: cancel}
	if _, err := source.Send(ctx, sink); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.must(source.Close())
	for deadline := time.Now().Add(time.Minute); s.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'") != "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("connections are left")
		}
	}
}

func TestATableThatTheServerWouldSortIsReadByOneConnection(t *testing.T) {
	s := newShop(t)
	// So small a table would be read by its index, unless memory seems to be smaller still.
	s.server.Exec("postgres", "ALTER DATABASE shop SET effective_cache_size = '1MB'")
	s.in("shop", "CREATE TABLE strewn (k uuid PRIMARY KEY, v text)", "INSERT INTO strewn SELECT md5(n::text)::uuid, repeat('x', 200) FROM generate_series(1, 50000) n", "ANALYZE")
	source, memory := s.inParts()
	tables, err := source.readers[0].tables(t.Context(), nil)
	s.must(err)
	if len(tables) != 1 || tables[0].key == nil {
		t.Fatalf("%+v", tables)
	}
	locked, err := lockAll(t.Context(), tables[0], source.readers)
	s.must(err)
	if len(locked) != 1 {
		t.Errorf("%d connections read it", len(locked))
	}
	s.must(source.readers[0].exec(t.Context(), "ROLLBACK TO SAVEPOINT holdfast"))
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if text := s.file(memory, result, "db/tables/public.strewn.sql"); !strings.HasSuffix(text, "\\.\n-- 50000 rows\n") {
		t.Errorf("%.300s", text)
	}
}
