package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/testserver"
)

// A server that stops must not keep a restore that was interrupted, and is to be taken back.
func TestAServerThatStopsInARestoreIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	memory, result := s.capture()
	target := s.target("postgres", "shop")
	dial, ctx := testserver.StopsAt(t.Context(), "COPY ")
	target.config.DialFunc = dial
	if _, err := target.Stage(ctx, result.Entries, memory); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	target.answer = time.Second
	discarded := make(chan error, 1)
	go func() { discarded <- target.Discard(context.Background()) }()
	select {
	case err := <-discarded:
		if err == nil || !strings.Contains(err.Error(), "has not answered in 1s") {
			t.Errorf("it says: %v", err)
		}
	case <-time.After(20 * time.Second):
		s.server.Kill() // else what it uses could not be closed either
		t.Fatal("it is waited for")
	}
}
