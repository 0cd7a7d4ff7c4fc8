package mysql

import (
	"errors"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/engines/enginetest"
)

// schemaOnly prepares and marks database, without the rows of some tables.
func (s shop) schemaOnly(patterns ...string) (*source, *enginetest.Memory) {
	s.Helper()
	service := s.service("root", "", "shop")
	service.SchemaOnly = patterns
	opened, err := Engine.Source(service)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { opened.Close() })
	source, memory := opened.(*source), enginetest.NewMemory()
	if err := source.Prepare(s.Context(), memory); err != nil {
		s.Fatal(err)
	}
	if _, err := source.Mark(s.Context(), memory); err != nil {
		s.Fatal(err)
	}
	return source, memory
}

func TestTablesAsSchemaOnly(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE orders (id INT PRIMARY KEY)", "INSERT INTO orders VALUES (1), (2)",
		"CREATE TABLE cache_page (id INT PRIMARY KEY AUTO_INCREMENT, v INT, KEY (v))", "INSERT INTO cache_page (v) VALUES (10), (11)",
		"CREATE TABLE cache_keep (id INT PRIMARY KEY)", "INSERT INTO cache_keep VALUES (5)",
		"CREATE TABLE sessions (id INT PRIMARY KEY, u INT, FOREIGN KEY (u) REFERENCES cache_keep (id)) ", "INSERT INTO sessions VALUES (1, 5)",
		"CREATE TABLE mine (id INT PRIMARY KEY, s INT, FOREIGN KEY (s) REFERENCES sessions (id))", "INSERT INTO mine VALUES (1, 1)",
		"CREATE TABLE cache_large (id INT, v TEXT) ENGINE = MyISAM", "INSERT INTO cache_large SELECT seq, REPEAT('x', 1000) FROM seq_1_to_3000")
	source, memory := s.schemaOnly("cache_*", "!cache_keep", "sessions")
	s.in("shop", "TRUNCATE cache_page") // which loses no point
	result, err := source.Send(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(result.Notes, "\n"); notes != "without rows, as configured (schema_only): cache_large, cache_page, sessions" {
		t.Errorf("notes: %s", notes)
	}
	if len(result.Losses) > 0 {
		t.Error(result.Losses)
	}
	if text := s.joined(memory, result); strings.Contains(text, "INTO `cache_page`") || !strings.Contains(text, "CREATE TABLE `cache_page`") {
		t.Error(text)
	}
	service := s.service("root", "", "shop")
	service.SchemaOnly = []string{"cache_*"}
	opened, err := Engine.Target(service, testToken)
	s.must(err)
	t.Cleanup(func() { opened.Close() })
	plan, err := opened.Plan(t.Context(), result.Entries)
	s.must(err)
	s.must(opened.(engines.Checker).Check(t.Context(), result.Entries, memory, &plan))
	if got := strings.Join(plan.Emptied, " "); got != "cache_large cache_page sessions" {
		t.Errorf("empty from now on: %s", got)
	}
	if got := strings.Join(plan.Unsaved, " "); got != "cache_keep cache_large cache_page" {
		t.Errorf("not saved: %s", got)
	}
	staged := s.restore("copy", memory, result.Entries)
	if notes := strings.Join(staged.Notes, "\n"); !strings.Contains(notes, "empty from now on") || !strings.Contains(notes, "cache_large, cache_page, sessions") {
		t.Errorf("notes of the restore: %s", notes)
	}
	for table, want := range map[string]string{"orders": "2", "cache_page": "0", "cache_keep": "1", "sessions": "0", "mine": "1", "cache_large": "0"} {
		if count := s.value("SELECT COUNT(*) FROM copy." + table); count != want {
			t.Errorf("%s has %s rows, want %s", table, count, want)
		}
	}
}

func TestASchemaOnlyTableThatChangesLosesThePoint(t *testing.T) {
	for name, change := range map[string]string{"altered": "ALTER TABLE sessions ADD COLUMN v INT", "dropped": "DROP TABLE sessions"} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.in("shop", "CREATE TABLE sessions (id INT PRIMARY KEY)")
			source, memory := s.schemaOnly("sessions")
			s.in("shop", change)
			if _, err := source.Send(t.Context(), memory); !errors.Is(err, engines.ErrPointLost) {
				t.Fatal(err)
			}
		})
	}
}

func TestRowsThatWereLeftOutMustNotBeThere(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE sessions (id INT PRIMARY KEY)", "INSERT INTO sessions VALUES (1)")
	session, err := s.source("root", "", "shop").place.connect(t.Context(), s.db, "shop", maxBlock)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.verify(t.Context(), "sessions", "BASE TABLE", saidSchemaOnly); err == nil || !strings.Contains(err.Error(), "1 rows after the load instead of 0") {
		t.Error(err)
	}
}
