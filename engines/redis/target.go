package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// lockWait bounds how long a restore waits for the connection of one that has just
// died to be noticed by the server.
const lockWait = 10 * time.Second

// target replaces one database, or all.
type target struct {
	place
	token string
	taken string // the server that the snapshot was taken from
	now   func() time.Time
	// step, in tests, is called before every command that changes something; its
	// error ends the call as the end of the process would.
	step func(command string) error

	control *conn
	locked  bool // by control
	server  info
}

// Plan implements engines.Target.
func (t *target) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	e, err := t.dumpOf(entries)
	if err != nil {
		return engines.Plan{}, err
	}
	if err := t.open(ctx); err != nil {
		return engines.Plan{}, err
	}
	if err := t.privileges(ctx); err != nil {
		return engines.Plan{}, err
	}
	if err := t.exists(ctx, t.control); err != nil {
		return engines.Plan{}, err
	}
	if err := t.room(ctx, int64(e.Size)); err != nil {
		return engines.Plan{}, err
	}
	var plan engines.Plan
	if here := t.server.product(); engines.Older(here, t.taken, 2) {
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("the snapshot is of %s, and the server at %s is the older %s: keys of types that it does not know cannot be restored, and then nothing is replaced", t.taken, t.address, here))
	}
	current, err := t.current(ctx)
	if err != nil || len(current) == 0 {
		plan.Creates = true
		return plan, err
	}
	var keys int64
	for _, k := range current {
		keys += k.keys
	}
	noun := "keys"
	if keys == 1 {
		noun = "key"
	}
	plan.Replaces = fmt.Sprintf("%v (%d %s)", t.place, keys, noun)
	return plan, nil
}

// dumpOf finds the dump among a service's entries.
func (t *target) dumpOf(entries []tree.Entry) (tree.Entry, error) {
	i := slices.IndexFunc(entries, func(e tree.Entry) bool { return e.Type == tree.File && strings.HasSuffix(e.Name, extension) })
	if i < 0 {
		return tree.Entry{}, fmt.Errorf("service %s: the snapshot holds no dump of Redis", t.service)
	}
	return entries[i], nil
}

// current returns what is in the databases that are to be replaced, where there is
// anything; databases that belong to restores are none of them.
func (t *target) current(ctx context.Context) (map[int]keyspace, error) {
	i, err := t.control.info(ctx, "keyspace")
	if err != nil {
		return nil, err
	}
	all := i.keyspaces()
	if t.database != allDatabases {
		k, ok := all[t.database]
		if !ok {
			return nil, nil
		}
		return map[int]keyspace{t.database: k}, nil
	}
	restores, err := t.control.restores(ctx)
	for _, r := range restores {
		delete(all, r.at)
	}
	return all, err
}

// scope is what the target's restores are called: those of one scope exclude each other.
func (t *target) scope() string {
	if t.database == allDatabases {
		return scopeAll
	}
	return strconv.Itoa(t.database)
}

// open connects, if that has not been done.
func (t *target) open(ctx context.Context) (err error) {
	if t.control != nil && !t.control.broken {
		return nil
	}
	if t.control != nil {
		_ = t.control.Close() // it was lost, or ended with the context of an earlier call
		t.control, t.locked = nil, false
	}
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	if t.server, err = c.info(ctx, "server", "replication", "persistence", "cluster"); err == nil {
		err = t.suitable(t.server)
	}
	if err != nil {
		c.Close()
		return err
	}
	t.control = c
	return nil
}

// lockPrefix begins the name of the connection that works on the target. While there is
// one, nobody else begins.
const lockPrefix = "holdfast:restore:"

// lock takes the lock, or makes sure that it is still held. A connection that ended
// may have sent commands that are still to be executed: it keeps its name until
// they were.
func (t *target) lock(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	if t.locked {
		return nil
	}
	id, err := t.control.do(ctx, "CLIENT", "ID")
	if err != nil {
		return err
	}
	own, _ := id.(int64)
	inside, cancel := context.WithTimeoutCause(ctx, lockWait, fmt.Errorf("%v: another restore is working on it (a connection called %s… in CLIENT LIST)", t.place, lockPrefix))
	defer cancel()
	for name := lockPrefix + t.scope(); ; {
		if _, err := t.control.do(inside, "CLIENT", "SETNAME", name); err != nil {
			return err
		}
		list, err := t.control.clients(inside)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(c client) bool { return c.id == own || !t.rivals(c.name) })
		if len(list) == 0 {
			t.locked = true
			return nil
		}
		// Of two who came at once, the older connection stays and the younger gives way.
		if slices.ContainsFunc(list, func(c client) bool { return c.id < own }) {
			if _, err := t.control.do(inside, "CLIENT", "SETNAME", ""); err != nil {
				return err
			}
		}
		select {
		case <-inside.Done():
			return context.Cause(inside)
		case <-time.After(again / 10):
		}
	}
}

// rivals reports whether a connection of that name works on the same data.
func (t *target) rivals(name string) bool {
	scope, ok := strings.CutPrefix(name, lockPrefix)
	return ok && (scope == t.scope() || scope == scopeAll || t.scope() == scopeAll)
}

// client is one line of CLIENT LIST.
type client struct {
	id       int64
	name     string
	database int
}

func (c *conn) clients(ctx context.Context) ([]client, error) {
	answer, err := c.do(ctx, "CLIENT", "LIST")
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	var list []client
	for line := range strings.Lines(text) {
		var one client
		for _, field := range strings.Fields(line) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "id":
				one.id, _ = strconv.ParseInt(value, 10, 64)
			case "name":
				one.name = value
			case "db":
				one.database, _ = strconv.Atoi(value)
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// in executes commands in one database, each after the other was answered: none
// is carried out elsewhere if the database cannot be selected.
func (t *target) in(ctx context.Context, database int, commands ...[]any) error {
	if _, err := t.control.do(ctx, "SELECT", database); err != nil {
		return err
	}
	for _, command := range commands {
		if err := t.at(command); err != nil {
			return err
		}
		if _, err := t.control.do(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) at(command []any) error {
	if t.step == nil {
		return nil
	}
	return t.step(fmt.Sprint(command[0]))
}

// atomically executes commands in one transaction.
func (t *target) atomically(ctx context.Context, commands ...[]any) error {
	if err := t.at([]any{"MULTI"}); err != nil {
		return err
	}
	answers, err := t.control.pipeline(ctx, slices.Concat([][]any{{"MULTI"}}, commands, [][]any{{"EXEC"}})...)
	if err != nil {
		return err
	}
	for i, answer := range answers[:len(answers)-1] {
		if e, ok := answer.(replyError); ok {
			return t.control.explain(slices.Concat([][]any{{"MULTI"}}, commands)[i], e)
		}
	}
	switch done := answers[len(answers)-1].(type) {
	case replyError:
		return t.control.explain([]any{"EXEC"}, done)
	case []any:
		for i, answer := range done {
			if e, ok := answer.(replyError); ok {
				return t.control.explain(commands[i], e)
			}
		}
		return nil
	}
	return fmt.Errorf("%v: %w", t.place, errChanged)
}

// errChanged says that what a transaction rests on was changed by somebody else.
var errChanged = errors.New("somebody else changed " + markKey + " in a database of a restore")

// Retired implements engines.Target.
func (t *target) Retired(ctx context.Context) (engines.Source, error) {
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	mine, err := t.mine(ctx)
	if err != nil {
		return nil, err
	}
	if len(mine) == 0 || mine[0].phase != phaseSwapped {
		return nil, fmt.Errorf("%v: restore %s has not swapped, so nothing is retired", t.place, t.token)
	}
	r := &retired{as: map[int]int{}, at: mine[0].swapped}
	for _, m := range mine {
		r.as[m.at] = m.current
		if m.hasFunctions && m.oldFunctions != "" {
			if r.functions, err = libraryList(m.oldFunctions); err != nil {
				return nil, err
			}
		}
	}
	return &source{place: t.place, now: t.now, wait: markWait, hold: holdWait, retired: r}, nil
}

// Close implements engines.Target.
func (t *target) Close() error {
	if t.control == nil {
		return nil
	}
	err := t.control.Close()
	t.control, t.locked = nil, false
	return err
}
