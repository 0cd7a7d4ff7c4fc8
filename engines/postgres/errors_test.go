package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestALockThatIsInTheWaySaysOfWhat: the statement's first words alone say nothing.
func TestALockThatIsInTheWaySaysOfWhat(t *testing.T) {
	p := place{database: "shop", address: "db:5432"}
	for statement, want := range map[string]string{
		`SET LOCAL lock_timeout = 800; LOCK TABLE ONLY public."Order s" IN ACCESS EXCLUSIVE MODE`: `lock table public."Order s"`,
		`DROP SCHEMA "holdfast_hf_0123456789_0" CASCADE`:                                          `drop schema "holdfast_hf_0123456789_0"`,
		`DROP DATABASE IF EXISTS "a""; b" WITH (FORCE)`:                                           `drop database "a""; b"`,
		`ALTER SCHEMA "public" RENAME TO "holdfast_hr_0123456789_0"`:                              `alter schema "public"`,
		"TRUNCATE ONLY public.orders":                                                             "truncate public.orders",
		"COMMENT ON DATABASE shop IS 'x'":                                                         "comment on",
		"SELECT 1":                                                                                "read",
		"ALTER ROLE site PASSWORD 'secret'":                                                       "alter role",
	} {
		err := p.explain(t.Context(), verb(statement), &pgconn.PgError{Code: codeLocked})
		if !strings.Contains(err.Error(), "database shop: could not "+want+", because somebody") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
