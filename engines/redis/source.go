package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// The rungs of the privileges, as recorded in the snapshot.
const (
	// rungConfig: the server is told to fork at once, and to write nothing to its disk.
	rungConfig = "config"
	// rungSync: it forks when it does by itself, mostly five seconds later.
	rungSync = "sync"
	// rungKeys: it may not synchronise. Keys are asked for, one after the other.
	rungKeys = "keys"
)

const extension = ".rdb"

// source captures one database, or all.
type source struct {
	place
	now     func() time.Time
	wait    time.Duration // bounds how long the mark waits for the fork
	hold    time.Duration // and for keys that are asked for
	unheld  bool          // nobody is held
	retired *retired      // what is captured, if that is what a restore has put aside

	control *conn
	product info
	rung    string
	before  map[string]string // what settings were, as far as they are to be others
	atOnce  bool              // all keys were read while requests were held

	sync   *conn
	layout *layout
	point  engines.Point
	marked stand
}

// Prepare implements engines.Source.
func (s *source) Prepare(ctx context.Context, _ engines.Sink) (err error) {
	if s.control, err = s.connect(ctx); err != nil {
		return err
	}
	i, err := s.control.info(ctx, "server", "replication", "persistence", "cluster")
	if err != nil {
		return err
	}
	if err := s.suitable(i); err != nil {
		return err
	}
	s.product = i
	if err := s.exists(ctx, s.control); err != nil {
		return err
	}
	if err := s.privileges(ctx); err != nil || s.rung == rungKeys {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, childWait,
		fmt.Errorf("the Redis server at %s has been saving or rewriting its log for %v, and cannot fork meanwhile", s.address, childWait))
	defer cancel()
	return s.idle(ctx)
}

// exists refuses a number that the server does not have.
func (p place) exists(ctx context.Context, c *conn) error {
	if p.database == allDatabases {
		return nil
	}
	_, err := c.do(ctx, "SELECT", p.database)
	if code(err) == "ERR" {
		return fmt.Errorf("the Redis server at %s has no database %d (see databases in its configuration): %w", p.address, p.database, err)
	}
	return err
}

// privileges finds the rung.
func (s *source) privileges(ctx context.Context) error {
	// Only since 7.0, and not for everybody; otherwise Mark will find out.
	if allowed, known, err := s.allows(ctx, s.control, "PSYNC", "?", "-1"); err != nil {
		return err
	} else if known && !allowed {
		return s.descend(ctx, nil)
	}
	s.rung, s.before = rungConfig, map[string]string{}
	for key, want := range settings {
		answer, err := s.control.do(ctx, "CONFIG", "GET", key)
		switch code(err) {
		case "":
			if err != nil {
				return err
			}
		default: // not allowed, or renamed away
			s.rung = rungSync
			return nil
		}
		if list, ok := answer.([]any); ok && len(list) == 2 && list[1] != want {
			s.before[key], _ = list[1].(string)
		}
	}
	return nil
}

// descend takes the rung of those who may not synchronise, and refuses who may not
// ask for keys either. cause is what was said, or nil.
func (s *source) descend(ctx context.Context, cause error) error {
	refused := fmt.Errorf("user %s of the Redis server at %s may neither synchronise nor ask for keys, or the server is older than 7.0: "+
		"ACL SETUSER %s ~* +select +info +psync +replconf +hgetall +config|get +config|set", s.userName(), s.address, s.userName())
	if cause != nil {
		refused = fmt.Errorf("%w (%w)", refused, cause)
	}
	if _, err := s.control.do(ctx, "PEXPIRETIME", markKey); code(err) != "" {
		return refused
	} else if err != nil {
		return err
	}
	for _, command := range [][]any{{"DUMP", markKey}, {"SCAN", "0", "COUNT", "1"}} {
		if _, err := s.control.do(ctx, command...); code(err) != "" {
			return refused
		} else if err != nil {
			return err
		}
	}
	s.rung, s.before = rungKeys, nil
	return nil
}

// read begins to take in what comes, at once: the server keeps a fork, with all that
// changes meanwhile, until that is done.
func (s *source) read(from io.Reader, finish func(io.Reader) error, excluded map[int]bool) {
	scope, choose := scopeAll, func(n int) (int, bool) { return n, !excluded[n] }
	if s.database != allDatabases {
		scope, choose = strconv.Itoa(s.database), func(n int) (int, bool) { return n, n == s.database }
	}
	if s.retired != nil {
		choose = s.retired.choose
	}
	s.layout = newLayout(from, finish, scope, choose)
	if s.retired != nil || s.database != allDatabases {
		s.layout.own = true
	}
	if s.retired != nil && s.database == allDatabases {
		s.layout.functions = s.retired.functions
	}
	s.layout.readAhead()
}

// Send implements engines.Source.
func (s *source) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if s.layout == nil {
		return engines.Result{}, errors.New("send before mark")
	}
	network := s.sync.network
	stop := context.AfterFunc(ctx, func() { _ = network.Close() }) // reading then ends
	defer stop()
	e := tree.Entry{Name: s.service + extension, Type: tree.File, Mode: 0o640}
	before, _ := sink.Parent(e.Name)
	e, err := sink.Put(ctx, e, before.Content, s.layout)
	switch {
	case ctx.Err() != nil:
		return engines.Result{}, context.Cause(ctx)
	case err != nil:
		return engines.Result{}, fmt.Errorf("%v: send: %w", s.place, s.lost(err))
	case !s.layout.whole():
		return engines.Result{}, fmt.Errorf("%v: send: the sink did not read to the end", s.place)
	}
	e.MTime = tree.TimeOf(s.point.At)
	if before.Content.Equal(e.Content) && before.Name != "" {
		e.MTime = before.MTime
	}
	result := engines.Result{Entries: []tree.Entry{e}, Empty: s.layout.isEmpty(), Notes: s.notes(), Apart: s.apart()}
	for _, id := range s.layout.modules {
		result.Losses = append(result.Losses, engines.Loss{Path: e.Name, Reason: "what module " + moduleName(id) + " keeps beside the keys is not in the snapshot"})
	}
	return result, nil
}

// lost says of an error of the connection that the point went with it: the server
// gave up, was restarted, or thought that we were too slow.
func (s *source) lost(err error) error {
	if s.layout.lost && code(err) == "" && !errors.Is(err, errDump) && !errors.Is(err, errUnknown) {
		return fmt.Errorf("what was being read was lost (%w): %w", err, engines.ErrPointLost)
	}
	return err
}

func (s *source) notes() []string {
	var notes []string
	if s.retired == nil && s.rung == rungSync {
		notes = append(notes, "the server forked when it did by itself, up to repl-diskless-sync-delay after the mark began: ACL SETUSER … +config|get +config|set lets it fork at once")
	}
	if s.retired == nil && s.rung == rungKeys {
		notes = append(notes, "the user may not synchronise, so keys were asked for one after the other: ACL SETUSER … +psync +replconf gives one instant")
	}
	if s.database != allDatabases && s.layout.dropped > 0 {
		notes = append(notes, librariesOfFunctions(s.layout.dropped)+" left out, because functions belong to the whole server: a service without a number of a database has them")
	}
	return notes
}

func librariesOfFunctions(n int) string {
	if n == 1 {
		return "1 library of functions"
	}
	return fmt.Sprintf("%d libraries of functions", n)
}

// moduleName decodes the name in a module's id, nine characters of six bits.
func moduleName(encoded []byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	id, _, _, _ := cutLength(encoded)
	var name strings.Builder
	for shift := 58; shift >= 10; shift -= 6 {
		name.WriteByte(letters[id>>shift&63])
	}
	return name.String()
}

// drop ends what a mark began.
func (s *source) drop() {
	if s.sync != nil {
		_ = s.sync.network.Close() // the server ends the fork; who reads, ends
	}
	if s.layout != nil {
		s.layout.wait()
	}
	s.sync, s.layout = nil, nil
}

// Close implements engines.Source.
func (s *source) Close() error {
	s.drop()
	if s.control == nil {
		return nil
	}
	err := s.control.Close()
	s.control = nil
	return err
}
