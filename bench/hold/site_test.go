package hold

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/gomodule/redigo/redis"
)

// services are the places in which one environment of the site keeps its data.
type services struct {
	maria, postgres, sqlite *sql.DB
	redis                   *redis.Pool
	entries                 string // a directory
}

// site is a ledger. Each entry is written into every service, one after the
// other and with nothing that ties them together: only between two requests are
// their sums equal.
type site struct {
	services

	mu   sync.Mutex
	done map[int]int // entry -> how often it was written
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		// The newest entries, and never all: a page that takes longer with each entry would
		// sooner or later be more than the machine bears, whatever the rate.
		var n int
		if err := s.maria.QueryRowContext(r.Context(), "SELECT sum(amount) FROM (SELECT 0 AS amount UNION ALL (SELECT amount FROM entries ORDER BY id DESC LIMIT 100)) latest").Scan(&n); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	id, err := strconv.Atoi(r.URL.Query().Get("id"))
	if err == nil {
		s.mu.Lock()
		s.done[id]++
		s.mu.Unlock()
		// Half an entry would be the visitor's doing, who hung up, and not ours.
		err = s.write(context.WithoutCancel(r.Context()), id)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *services) write(ctx context.Context, id int) error {
	amount := id%97 + 1
	if _, err := s.maria.ExecContext(ctx, "INSERT INTO entries VALUES (?, ?)", id, amount); err != nil {
		return fmt.Errorf("mariadb: %w", err)
	}
	if _, err := s.postgres.ExecContext(ctx, "INSERT INTO entries VALUES ($1, $2)", id, amount); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if err := s.count(amount); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if _, err := s.sqlite.ExecContext(ctx, "INSERT INTO entries VALUES (?, ?)", id, amount); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return os.WriteFile(filepath.Join(s.entries, fmt.Sprintf("%02d", id%50), strconv.Itoa(id)), []byte(strconv.Itoa(amount)), 0o644)
}

// count adds an amount to the counters in Redis.
func (s *services) count(amount int) error {
	c := s.redis.Get()
	defer c.Close()
	for _, command := range [][]any{{"MULTI"}, {"INCRBY", "sum", amount}, {"INCR", "count"}} {
		if err := c.Send(command[0].(string), command[1:]...); err != nil {
			return err
		}
	}
	_, err := c.Do("EXEC")
	return err
}

// total is how many entries there are, and the sum of their amounts.
type total struct{ Count, Sum int64 }

// totals asks every service.
func (s *services) totals(ctx context.Context) (map[string]total, error) {
	all := map[string]total{}
	for name, db := range map[string]*sql.DB{"mariadb": s.maria, "postgres": s.postgres, "sqlite": s.sqlite} {
		var t total
		if err := db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(amount), 0) FROM entries").Scan(&t.Count, &t.Sum); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = t
	}
	c := s.redis.Get()
	defer c.Close()
	counters, err := redis.Int64s(c.Do("MGET", "count", "sum"))
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	all["redis"] = total{counters[0], counters[1]}
	all["files"], err = totalOfFiles(s.entries)
	return all, err
}

func totalOfFiles(dir string) (t total, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9]", "*"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return t, err
		}
		if len(text) == 0 { // taken between its creation and its writing, without the gate
			t.Count++
			continue
		}
		amount, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return t, fmt.Errorf("%s: %w", name, err)
		}
		t.Count++
		t.Sum += amount
	}
	return t, err
}

// differ says how the services disagree, "" if they do not.
func differ(all map[string]total) string {
	for _, t := range all {
		if t != all["mariadb"] {
			return fmt.Sprintf("%+v", all)
		}
	}
	return ""
}
