package demosite

import (
	"database/sql"
	"os"
	"strings"
	"testing"
)

func TestDamageIsFound(t *testing.T) {
	s, dir := newSite(t, small)
	seq, history := seqOf(t, s), historyOf(t, dir)
	for name, test := range map[string]struct {
		damage func(t *testing.T, p Place)
		verify string // what Verify finds
		rules  string // what Invariants finds; "" where rules alone cannot know
	}{
		"changed byte in a file": {
			func(t *testing.T, p Place) { flipByte(t, anUpload(t, p)) },
			"has other bytes", "has other bytes than its row says",
		},
		"truncated file": {
			func(t *testing.T, p Place) { os.Truncate(anUpload(t, p), 100) },
			"has other bytes", "has other bytes than its row says",
		},
		"missing file": {
			func(t *testing.T, p Place) { os.Remove(anUpload(t, p)) },
			"is missing", "is missing, and has a row",
		},
		"extra file": {
			func(t *testing.T, p Place) { os.WriteFile(p.Uploads+"/left-over", nil, 0o644) },
			"file left-over should not be there", "",
		},
		"link instead of a file": {
			func(t *testing.T, p Place) {
				path := anUpload(t, p)
				os.Rename(path, p.Database+"-moved")
				os.Symlink(p.Database+"-moved", path)
			},
			"has other bytes", "has other bytes than its row says",
		},
		"changed row": {
			func(t *testing.T, p Place) { run(t, p, "UPDATE comments SET body = body || ' ' WHERE id = 7") },
			"row 7 of comments differs", "",
		},
		"missing row": {
			func(t *testing.T, p Place) { run(t, p, "DELETE FROM comments WHERE id = 11") },
			"row 11 of comments is missing", "",
		},
		"extra row": {
			func(t *testing.T, p Place) { run(t, p, "INSERT INTO users VALUES (99999, 'x', 'y')") },
			"row 99999 of users should not be there", "",
		},
		"missing author": {
			func(t *testing.T, p Place) {
				run(t, p, "DELETE FROM users WHERE id = (SELECT author FROM comments LIMIT 1)")
			},
			"of users is missing", "refers to a missing row of users",
		},
		"lost order": {
			func(t *testing.T, p Place) { run(t, p, "DELETE FROM orders WHERE id = 3") },
			"row 3 of orders is missing", "stock and orders are not what was supplied",
		},
		"number instead of text": {
			func(t *testing.T, p Place) {
				run(t, p, "UPDATE orders SET quantity = CAST(quantity AS TEXT) || 'x' WHERE id = 4")
			},
			"row 4 of orders differs", "",
		},
		"lost last change": {
			func(t *testing.T, p Place) { run(t, p, "UPDATE state SET seq = seq - 1") },
			"the database ends with change", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := copyOf(t, s)
			test.damage(t, p)
			report, err := history.Verify(t.Context(), p, Window{seq, seq})
			wantProblem(t, "Verify", report, err, test.verify)
			report, err = Invariants(t.Context(), p)
			wantProblem(t, "Invariants", report, err, test.rules)
		})
	}
}

func wantProblem(t *testing.T, who string, r Report, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	if want == "" && r.Err() != nil || want != "" && (r.Err() == nil || !strings.Contains(r.Err().Error(), want)) {
		t.Errorf("%s found %v, want %q", who, r.Err(), want)
	}
}

func TestDamageBelowTheRowsIsAnError(t *testing.T) {
	s, dir := newSite(t, small)
	history, seq := historyOf(t, dir), seqOf(t, s)
	for name, damage := range map[string]func(t *testing.T, p Place){
		"missing table":    func(t *testing.T, p Place) { exec(t, p, "DROP TABLE orders") },
		"extra table":      func(t *testing.T, p Place) { exec(t, p, "CREATE TABLE more (id)") },
		"missing index":    func(t *testing.T, p Place) { exec(t, p, "DROP INDEX comments_of_article") },
		"missing database": func(t *testing.T, p Place) { os.Remove(p.Database) },
		"torn database":    func(t *testing.T, p Place) { os.Truncate(p.Database, 100_000) },
		"missing uploads":  func(t *testing.T, p Place) { os.RemoveAll(p.Uploads) },
	} {
		t.Run(name, func(t *testing.T) {
			p := copyOf(t, s)
			damage(t, p)
			if _, err := history.Verify(t.Context(), p, Window{seq, seq}); err == nil {
				t.Error("Verify found nothing")
			}
			if _, err := Invariants(t.Context(), p); err == nil {
				t.Error("Invariants found nothing")
			}
			if _, err := Take(t.Context(), p); err == nil {
				t.Error("a fingerprint was taken")
			}
		})
	}
}

func exec(t *testing.T, p Place, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", p.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
