package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/engines"
)

const (
	// markWait is how long the mark waits for the fork.
	markWait = 10 * time.Second
	// holdWait is how long the mark waits for keys that are asked for, where requests
	// are held meanwhile.
	holdWait = 2 * time.Second
	// firstTry is how long it waits for the answer to its first request, where the
	// server has been told to fork at once.
	firstTry = 250 * time.Millisecond
	// childWait bounds how long Prepare waits for somebody else's fork to end.
	childWait = time.Minute
	// again is the time after which what may have changed is looked at again.
	again = 50 * time.Millisecond
)

// settings are what makes the server fork at once and keep its disk out of it.
var settings = map[string]string{"repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0"}

var errNoAnswer = errors.New("the server did not fork at once")

// Mark implements engines.Source.
func (s *source) Mark(ctx context.Context, _ engines.Sink) (point engines.Point, err error) {
	if s.control == nil {
		return point, errors.New("mark before prepare")
	}
	s.drop()
	inside, cancel := context.WithTimeoutCause(ctx, s.wait, fmt.Errorf("the Redis server at %s did not fork within %v: "+
		"it saves, rewrites its log or synchronises with somebody else, or repl-diskless-sync-delay is long and the user may not set it (+config|get +config|set)", s.address, s.wait))
	defer cancel()
	var excluded map[int]bool
	if s.database == allDatabases && s.retired == nil {
		if excluded, err = s.excluded(inside); err != nil {
			return point, err
		}
	}
	s.point = engines.Point{Server: s.product.product(), At: s.now()}
	if s.rung != rungKeys {
		err = s.markFork(ctx, inside, excluded)
	}
	if s.rung == rungKeys && err == nil {
		err = s.markKeys(inside, excluded)
	}
	s.point.Rung = s.rung
	if err == nil && !s.unheld && s.retired == nil {
		s.marked, err = s.stands(ctx)
	}
	if s.retired != nil {
		s.point.At, s.point.Position, s.point.Rung = s.retired.at, "", ""
	}
	return s.point, err
}

// markFork makes the server fork, inside a time, and begins to read what it sends. A
// user who turns out to lack the privilege gets the next rung.
func (s *source) markFork(ctx, inside context.Context, excluded map[int]bool) (err error) {
	// Also when the context has ended: settings are put back.
	before := s.before
	defer func() { err = errors.Join(err, s.set(context.WithoutCancel(ctx), before)) }()
	f, err := s.fork(inside)
	if code(err) == "NOPERM" || code(err) == "ERR" && strings.Contains(err.Error(), "unknown command") {
		s.drop()
		return s.descend(inside, err)
	}
	if err != nil {
		return err
	}
	s.point.At, s.point.Position = s.now(), f.String()
	from := &dump{c: s.sync}
	s.read(from, from.finish, excluded)
	return nil
}

// markKeys asks for the keys. While requests are held, it waits for a moment: what
// was read by then is of one instant.
func (s *source) markKeys(ctx context.Context, excluded map[int]bool) error {
	if err := s.walk(ctx, excluded); err != nil {
		return err
	}
	s.atOnce = !s.unheld && s.layout.wholeWithin(ctx, s.hold)
	return nil
}

// fork makes the server fork for us. It can do so for one at a time: where another
// source of this very snapshot was faster, or a replica, it is asked again once
// that is done, because it would wait for its own delay then. A server that
// synchronises with a replica through its disk lets us have that older dump; then
// it is asked again, too.
func (s *source) fork(ctx context.Context) (fork, error) {
	for patience := firstTry; ; patience *= 2 {
		if err := s.idle(ctx); err != nil {
			return fork{}, err
		}
		hurry := map[string]string{}
		for key := range s.before {
			hurry[key] = settings[key]
		}
		if err := s.set(ctx, hurry); err != nil {
			return fork{}, err
		}
		if s.rung == rungSync {
			patience = s.wait
		}
		f, fresh, err := s.request(ctx, patience)
		if fresh || err != nil && !errors.Is(err, errNoAnswer) {
			return f, err
		}
		s.drop()
		if err := pause(ctx); err != nil {
			return fork{}, err
		}
	}
}

// request asks once. fresh says that the fork is none of the past.
func (s *source) request(ctx context.Context, patience time.Duration) (f fork, fresh bool, err error) {
	i, err := s.control.info(ctx, "replication")
	if err != nil {
		return f, false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNoAnswer)
	defer cancel()
	if s.sync, err = s.connect(ctx); err != nil {
		return f, false, err
	}
	f, err = s.sync.synchronise(ctx, s.product["valkey_version"])
	return f, err == nil && f.offset >= i.number("master_repl_offset"), err
}

// idle waits until the server has no child: neither saves nor rewrites its log. It
// has one at a time.
func (s *source) idle(ctx context.Context) error {
	for {
		i, err := s.control.info(ctx, "persistence")
		if err != nil {
			return err
		}
		if i["rdb_bgsave_in_progress"] != "1" && i["aof_rewrite_in_progress"] != "1" && i["module_fork_in_progress"] != "1" {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(again):
		return nil
	}
}

// set sets settings of the server. The connection may have ended with its context, and ctx
// be one that never ends.
func (s *source) set(ctx context.Context, values map[string]string) (err error) {
	if len(values) == 0 {
		return nil
	}
	ctx, cancel := engines.Answering(ctx, "the Redis server at "+s.address, s.answer)
	defer cancel()
	c := s.control
	if c.broken {
		if c, err = s.connect(ctx); err != nil {
			return fmt.Errorf("put back %v: %w", values, err)
		}
		defer c.Close()
	}
	for key, value := range values {
		if _, err := c.do(ctx, "CONFIG", "SET", key, value); err != nil {
			if code(err) != "NOPERM" {
				return err
			}
			s.rung = rungSync
		}
	}
	return nil
}

// excluded are databases that belong to a restore.
func (s *source) excluded(ctx context.Context) (map[int]bool, error) {
	all, err := s.control.restores(ctx)
	if err != nil {
		return nil, err
	}
	excluded := map[int]bool{}
	for _, r := range all {
		excluded[r.at] = true
	}
	return excluded, nil
}
