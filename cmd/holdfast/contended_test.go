package main

import (
	"context"
	"database/sql"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A service that does not grant its lock keeps nobody waiting for longer than
// max-hold: requests go on first, then the snapshot fails, or is a live one.
func TestALockThatIsNotGranted(t *testing.T) {
	t.Parallel()
	for _, onTimeout := range []string{"fail", "live"} {
		t.Run(onTimeout, func(t *testing.T) {
			t.Parallel()
			g := newGated(t)
			g.begin("master", 5)
			g.apps["master"].Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			g.must(executeSQL(g.path("master", "settings.db"), "PRAGMA journal_mode=DELETE"))
			g.gate("master", "--max-hold", "500ms")
			db, err := sql.Open("sqlite", g.path("master", "settings.db"))
			g.must(err)
			defer db.Close()
			conn, err := db.Conn(t.Context())
			g.must(err)
			unlocked := make(chan struct{})
			var visitor sync.WaitGroup
			config := g.between("master", func(step string) {
				switch step {
				case "held":
					if _, err := conn.ExecContext(context.Background(), "BEGIN EXCLUSIVE"); err != nil {
						t.Error(err)
					}
					visitor.Go(func() {
						response, err := http.Get(g.urls["master"])
						if err != nil || response.StatusCode != http.StatusOK {
							t.Errorf("a visitor was answered %v, %v", response, err)
						}
						// Only now that he was let go does the writer end.
						if _, err := conn.ExecContext(context.Background(), "COMMIT"); err != nil {
							t.Error(err)
						}
						close(unlocked)
					})
				}
			})
			stdout, stderr, code := g.run("--config", config, "-e", "master", "snapshot", "create", "--on-timeout", onTimeout)
			<-unlocked
			visitor.Wait()
			g.becomes("master", isOpen)
			switch {
			case onTimeout == "fail" && (code != 1 || !strings.Contains(stderr, "requests went on before all was marked")):
				t.Errorf("exit code %d, %s", code, stderr)
			case onTimeout == "live" && code != 0:
				t.Errorf("exit code %d, %s", code, stderr)
			case onTimeout == "live":
				if shown := g.ok("-e", "master", "snapshot", "show", "latest"); !strings.Contains(shown, "Consistency   live;") {
					t.Errorf("%s: show says\n%s", stdout, shown)
				}
			}
			if consistency, shown := g.consistencyOf("master"); consistency != "one-instant" {
				t.Errorf("the next snapshot is\n%s", shown)
			}
		})
	}
}

// Of two snapshots of an environment at once the second is told of the first, which
// is none the worse.
func TestTwoSnapshotsAtOnce(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	g.begin("master", 5)
	g.gate("master")
	config := g.between("master", func(step string) {
		if step != "marked" {
			return
		}
		if _, stderr, code := g.run("-e", "master", "snapshot", "create"); code != int(exitBusy) || !strings.Contains(stderr, "create") {
			t.Errorf("the second: exit code %d, %s", code, stderr)
		}
	})
	if stdout := g.ok("--config", config, "-e", "master", "--json", "snapshot", "create"); !strings.Contains(stdout, `"one-instant"`) {
		t.Errorf("the first says %s", stdout)
	}
}
