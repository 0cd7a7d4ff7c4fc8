package corpus

import (
	"bytes"
	"strings"
	"testing"
)

func TestDatabase(t *testing.T) {
	for name, dialect := range map[string]Dialect{"MySQL": MySQL, "PostgreSQL": Postgres} {
		t.Run(name, func(t *testing.T) { databaseOf(t, Database{Seed: 1, Size: 4e6, Dialect: dialect}) })
	}
}

func databaseOf(t *testing.T, d Database) {
	sizes := map[int]int{}
	for day := range 3 {
		var once, again bytes.Buffer
		for _, w := range []*bytes.Buffer{&once, &again} {
			if err := d.Write(t.Context(), w, day); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(once.Bytes(), again.Bytes()) {
			t.Errorf("day %d is not the same twice", day)
		}
		if text := once.String(); strings.Count(text, "CREATE TABLE") != map[bool]int{true: 4}[day == 0] {
			t.Errorf("day %d creates %d tables", day, strings.Count(text, "CREATE TABLE"))
		}
		sizes[day] = once.Len()
	}
	if sizes[0] < 3.8e6 || sizes[0] > 4.6e6 {
		t.Errorf("the first day has %d bytes", sizes[0])
	}
	for day := 1; day < 3; day++ {
		if share := 100 * sizes[day] / sizes[0]; share < 4 || share > 8 {
			t.Errorf("day %d changes %d %%", day, share)
		}
	}
}

func TestTablesInPostgres(t *testing.T) {
	want := "CREATE TABLE t (\n  id bigint NOT NULL,\n  body text NOT NULL,\n  PRIMARY KEY (id),\n  UNIQUE (guid)\n);\nCREATE INDEX t_slug ON t (slug,body);\n"
	if got := Postgres.create("t", "  `id` bigint unsigned NOT NULL,\n  `body` longtext NOT NULL,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `guid` (`guid`),\n  KEY `slug` (`slug`,`body`)"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	head, tail := Postgres.replace(table{name: "t", columns: "  `id` bigint,\n  `a` int,\n  `b` int"})
	if head != "INSERT INTO t VALUES " || tail != " ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, b = EXCLUDED.b" {
		t.Errorf("%s…%s", head, tail)
	}
}
