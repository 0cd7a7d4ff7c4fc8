package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// givenUp fails unless f ends in some seconds, and returns its error. Else the server is
// killed, because what f uses could not be closed either.
func (s shop) givenUp(f func() error) error {
	s.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		s.server.Kill()
		s.Fatal("it is waited for")
		return nil
	}
}

// A server that stops under the mark must not keep a snapshot that was interrupted, or
// whose requests went on, waiting for an answer to what lets the others commit again.
func TestAServerThatStopsUnderTheMarkIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.in("shop", "CREATE TABLE a (id INT PRIMARY KEY)")
	source, memory := s.source("root", "", "shop"), enginetest.NewMemory()
	dial, ctx := testserver.StopsAt(s.Context(), "START TRANSACTION")
	source.config.DialFunc = dial
	s.must(source.Prepare(ctx, memory))
	source.answer = time.Second
	err := s.givenUp(func() error {
		_, err := source.Mark(ctx, memory)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nor a restore that was interrupted, and is to be taken back.
func TestAServerThatStopsInARestoreIsGivenUp(t *testing.T) {
	s, _, memory, entries := shopWithTriggers(t)
	target := s.target("root", "", "shop", testToken)
	dial, ctx := testserver.StopsAt(s.Context(), "CHECK TABLE")
	target.config.DialFunc = dial
	err := s.givenUp(func() error {
		_, err := target.Stage(ctx, entries, memory)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	target.answer = time.Second
	err = s.givenUp(func() error { return target.Discard(context.Background()) })
	if err == nil || !strings.Contains(err.Error(), "has not answered in 1s") {
		t.Errorf("it says: %v", err)
	}
}
