package mysql

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

// keyed are tables with keys of every kind, and what fills them from numbers (%s is
// where 3000 of these, from 1 on, come from as n). whole says that it is read as one.
var keyed = map[string]struct {
	columns, rows string
	whole         bool
}{
	"numbers":       {"id BIGINT PRIMARY KEY, v TEXT", "SELECT n, REPEAT(LEFT(SHA2(n, 256), 32), n MOD 7) FROM %s", false},
	"negative":      {"id INT PRIMARY KEY, v TEXT", "SELECT n - 1500, LEFT(SHA2(n, 256), 32) FROM %s", false},
	"unsigned":      {"id BIGINT UNSIGNED PRIMARY KEY", "SELECT 18446744073709551615 - CAST(n * 1000000007 AS UNSIGNED) FROM %s", false},
	"gaps":          {"id BIGINT PRIMARY KEY, v TEXT", "SELECT IF(n < 10, n, n + 9000000000000000000), LEFT(SHA2(n, 256), 32) FROM %s", false},
	"decimals":      {"id DECIMAL(30,10) PRIMARY KEY", "SELECT (n - 1500) / 7 FROM %s", false},
	"one tenant":    {"tenant INT, name VARCHAR(20), PRIMARY KEY (tenant, name)", "SELECT IF(n < 2900, 7, n), LEFT(SHA2(n, 256), 32) FROM %s", false},
	"three columns": {"a TINYINT, b BINARY(2), c VARCHAR(20), v INT, PRIMARY KEY (a, b, c)", "SELECT n MOD 3 - 1, UNHEX(LPAD(HEX(n MOD 5), 4, '0')), CONCAT('x', n), n FROM %s", false},
	"any case":      {"k VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY", "SELECT CONCAT(ELT(n MOD 6 + 1, 'Ä', 'a', 'ß', 'Z', 'ключ', '☃'), ' ', LEFT(SHA2(n, 256), 32)) FROM %s", false},
	"latin":         {"k VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german2_ci PRIMARY KEY", "SELECT CONCAT(ELT(n MOD 4 + 1, 'Ä', 'ae', 'ß', 'é'), n) FROM %s", false},
	"bytewise":      {"k CHAR(33) COLLATE utf8mb4_bin PRIMARY KEY", "SELECT CONCAT(ELT(n MOD 2 + 1, 'A', 'a'), LEFT(SHA2(n, 256), 32)) FROM %s", false},
	"wide":          {"k VARCHAR(20) CHARACTER SET utf16 PRIMARY KEY", "SELECT CONCAT('ä\\'', n) FROM %s", false},
	"hashes":        {"k BINARY(16) PRIMARY KEY, v INT", "SELECT UNHEX(LEFT(SHA2(n, 256), 32)), n FROM %s", false},
	"any bytes":     {"k VARBINARY(20) PRIMARY KEY", "SELECT IF(n = 1, '', CONCAT(UNHEX(LEFT(SHA2(n, 256), 32)), CHAR(0))) FROM %s", false},
	"days":          {"day DATE, at DATETIME(6), t TIMESTAMP(3), n INT, PRIMARY KEY (day, at, t, n)", "SELECT IF(n < 900, '0000-00-00', '2026-03-29'), '2026-03-29 02:30:00.5' + INTERVAL n SECOND, '2026-10-25 00:30:00' + INTERVAL n SECOND, n FROM %s", false},
	"members":       {"id INT PRIMARY KEY, e ENUM('a', 'b')", "SELECT n, IF(n MOD 400 = 0, 0, 'b') FROM %s", false},
	"no row":        {"id INT PRIMARY KEY", "SELECT n FROM %s WHERE FALSE", false},
	"one row":       {"id INT PRIMARY KEY", "SELECT n FROM %s LIMIT 1", false},
	"by a float":    {"k DOUBLE PRIMARY KEY", "SELECT n / 7 FROM %s", true},
	"by members":    {"e ENUM('z', 'a', 'm'), n INT, PRIMARY KEY (e, n)", "SELECT n MOD 3 + 1, n FROM %s", true},
	"by a prefix":   {"k TEXT, PRIMARY KEY (k(20))", "SELECT LEFT(SHA2(n, 256), 32) FROM %s", true},
	"without a key": {"n INT", "SELECT n FROM %s", true},
}

func TestPartsMakeTheSameStream(t *testing.T) {
	s := newShop(t)
	s.samePartsAndWhole("seq_1_to_3000", "CAST(seq AS SIGNED)")
	s.in("shop", "CREATE TABLE unmarked (id INT PRIMARY KEY) ENGINE = MyISAM", "INSERT INTO unmarked SELECT seq FROM seq_1_to_3000",
		"CREATE TABLE ids (id UUID PRIMARY KEY)", "INSERT INTO ids SELECT UUID() FROM seq_1_to_3000",
		"CREATE TABLE kept (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING", "INSERT INTO kept SELECT seq, 1 FROM seq_1_to_500", "UPDATE kept SET v = 2")
	s.readBothWays("ids", false)
	s.readBothWays("kept", true)
	s.readBothWays("unmarked", true)
}

// samePartsAndWhole fills all tables from numbers, and reads each in parts and whole,
// while somebody writes.
func (s shop) samePartsAndWhole(numbers, n string) {
	for name, c := range keyed {
		s.in("shop", "SET sql_mode = ''", fmt.Sprintf("CREATE TABLE `%s` (%s)", name, c.columns),
			fmt.Sprintf("INSERT INTO `%s` "+c.rows, name, "(SELECT "+n+" AS n FROM "+numbers+") AS numbers"))
	}
	for name, c := range keyed {
		s.readBothWays(name, c.whole)
	}
}

// readBothWays reads a table of shop over one connection and over three, at one mark,
// while somebody deletes half of it.
func (s shop) readBothWays(name string, whole bool) {
	s.Run(name, func(t *testing.T) {
		s := shop{t, s.server, s.db}
		source := s.source("root", "", "shop")
		source.reading = smallParts
		memory := enginetest.NewMemory()
		s.must(source.Prepare(t.Context(), memory))
		_, err := source.Mark(t.Context(), memory)
		s.must(err)
		var found *table
		for i, t := range source.catalog.tables {
			if t.name == name {
				found = &source.catalog.tables[i]
			}
		}
		if found == nil || (found.key == nil) != whole {
			t.Fatalf("table %+v", found)
		}
		var group errgroup.Group
		if found.snapshots {
			group.Go(func() error {
				_, err := s.db.Exec("DELETE FROM shop." + quote(name) + " LIMIT 1500")
				return err
			})
		}
		var streams [2]bytes.Buffer
		readers := [][]*session{source.readers[:1], source.readers}
		if whole {
			readers[1] = readers[0]
		}
		for i := range streams {
			s.must(read(t.Context(), *found, readers[i], nil, func(r *inserts) error { _, err := streams[i].ReadFrom(r); return err }))
		}
		s.must(group.Wait())
		if !bytes.Equal(streams[0].Bytes(), streams[1].Bytes()) {
			s.same(streams[0].String(), streams[1].String(), "in parts")
		}
		var selects [3]int
		for i, reader := range source.readers {
			var variable string
			s.must(reader.one(t.Context(), "SHOW SESSION STATUS LIKE 'Com_select'", &variable, &selects[i]))
		}
		if !whole && streams[0].Len() > 20<<10 && selects[1] < 5 {
			t.Errorf("the second connection read %d times", selects[1])
		}
	})
}

// inParts marks shop, whose table big is then read in parts.
func (s shop) inParts() (*source, *enginetest.Memory) {
	s.Helper()
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	source.reading = dump.Reading{Connections: 2, PartsFrom: 1 << 20, PartSize: 1 << 20}
	s.must(source.Prepare(s.Context(), memory))
	_, err := source.Mark(s.Context(), memory)
	s.must(err)
	return source, memory
}

// wideRows are more than all connections together read ahead.
const wideRows = "INSERT INTO big SELECT seq, REPEAT(MD5(seq), 300) FROM seq_1_to_5000"

func TestAConnectionThatIsLostInAPartFailsTheSnapshot(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", wideRows, "ANALYZE TABLE big")
	for i := range 2 {
		source, memory := s.inParts()
		sink := &slow{Memory: memory, table: "big", begun: func() { s.server.Exec(fmt.Sprintf("KILL %d", source.readers[i].id)) }}
		result, err := source.Send(t.Context(), sink)
		if err == nil || errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table big") || len(result.Entries) > 0 {
			t.Errorf("connection %d: %v", i, err)
		}
		s.must(source.Close())
	}
}

func TestAPointThatIsLostIsNoticedInParts(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", wideRows, "ANALYZE TABLE big")
	source, memory := s.inParts()
	s.in("shop", "TRUNCATE big", "INSERT INTO big VALUES (1, 'new')")
	if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table big") {
		t.Fatal(err)
	}
	_, err := source.Mark(t.Context(), memory)
	s.must(err)
	result, err := source.Send(t.Context(), memory)
	s.must(err)
	if text := s.rowsIn(memory, result, "big"); !strings.Contains(text, "(1,'new')") {
		t.Errorf("%.300s", text)
	}
}

func TestPartsGiveWayToWhoeverWaits(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", wideRows, "ANALYZE TABLE big")
	source, memory := s.inParts()
	altered := make(chan error, 1)
	sink := &slow{Memory: memory, table: "big", begun: blocked(func() {
		go func() {
			_, err := s.db.Exec("ALTER TABLE shop.big ADD COLUMN w INT")
			altered <- err
		}()
	}, source)}
	if _, err := source.Send(t.Context(), sink); !errors.Is(err, engines.ErrPointLost) || !strings.Contains(err.Error(), "table shop.big") {
		t.Fatal(err)
	}
	s.must(<-altered)
}

func TestCancelEndsAllParts(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE big (id INT PRIMARY KEY, v TEXT)", wideRows, "ANALYZE TABLE big")
	source, memory := s.inParts()
	left := fmt.Sprintf("SELECT COUNT(*) FROM information_schema.processlist WHERE id IN (%d, %d)", source.readers[0].id, source.readers[1].id)
	ctx, cancel := context.WithCancel(t.Context())
	sink := &slow{Memory: memory, table: "big", begun: cancel}
	if _, err := source.Send(ctx, sink); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.must(source.Close())
	for deadline := time.Now().Add(time.Minute); s.value(left) != "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("connections are left")
		}
	}
}
