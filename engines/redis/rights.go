package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The commands of a restore.
var (
	// transaction ends inside of one in which nothing was done.
	transaction = [][]any{{"WATCH", markKey}, {"UNWATCH"}, {"EXEC"}, {"MULTI"}}
	needed      = [][]any{
		{"RESTORE", markKey, "0", "x"}, {"HSET", markKey, "a", "b"}, {"HGETALL", markKey}, {"HGET", markKey, "a"}, {"DUMP", markKey}, {"DEL", markKey},
		{"SWAPDB", "0", "1"}, {"FLUSHDB", "ASYNC"}, {"SELECT", "0"}, {"DBSIZE"},
		{"CLIENT", "LIST"}, {"CLIENT", "SETNAME", "x"}, {"CLIENT", "ID"}, {"INFO"}, {"FUNCTION", "STATS"},
	}
	// neededForAll are those of a restore of all databases besides.
	neededForAll = [][]any{{"FUNCTION", "DUMP"}, {"FUNCTION", "RESTORE", "x", "FLUSH"}}
	// neededForKeys are those of the safety snapshot where the user may not synchronise.
	neededForKeys = [][]any{{"SCAN", "0"}, {"DUMP", markKey}, {"PEXPIRETIME", markKey}}
)

// privileges refuses a user who could not restore, or not save what the restore
// replaces, with the rule that cures it.
func (t *target) privileges(ctx context.Context) error {
	commands := needed
	if t.database == allDatabases {
		commands = slices.Concat(needed, neededForAll)
	}
	missing, err := t.denied(ctx, commands...)
	if err != nil {
		return err
	}
	more, err := t.deniedSafety(ctx)
	if err != nil {
		return err
	}
	if missing = append(missing, more...); len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("user %s of the Redis server at %s may not use what a restore needs: ACL SETUSER %s ~* +%s",
		t.userName(), t.address, t.userName(), strings.Join(missing, " +"))
}

// deniedSafety returns what a user lacks who may neither synchronise nor ask for keys.
func (t *target) deniedSafety(ctx context.Context) ([]string, error) {
	missing, err := t.denied(ctx, []any{"REPLCONF", "capa", "eof"})
	if err != nil {
		return nil, err
	}
	// This one is not let into a transaction: where it is not told, it goes with the other.
	allowed, known, err := t.allows(ctx, t.control, "PSYNC", "?", "-1")
	if err != nil {
		return nil, err
	}
	if known && !allowed || !known && len(missing) > 0 {
		missing = append(missing, "psync")
	}
	if len(missing) == 0 {
		return nil, nil
	}
	if keys, err := t.denied(ctx, neededForKeys...); len(keys) == 0 || err != nil {
		return nil, err
	}
	return missing, nil
}

// denied returns those commands that the user may not use, as rules name them. They are
// queued in a transaction that is never executed: so none is carried out, and also
// they find out who may not ask ACL DRYRUN, or have a server that is older. What
// the server does not know is not denied.
func (t *target) denied(ctx context.Context, commands ...[]any) ([]string, error) {
	c, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close() // with the transaction
	answers, err := c.pipeline(ctx, transaction...)
	if err != nil {
		return nil, err
	}
	missing := refused(transaction, answers)
	if begun := answers[len(answers)-1]; begun != "OK" {
		if len(missing) > 0 { // of the others nothing is known
			missing = append(missing, rules(commands)...)
		}
		return missing, nil
	}
	answers, err = c.pipeline(ctx, commands...)
	return append(missing, refused(commands, answers)...), err
}

// refused returns the rules of those commands whose answers say that rules forbid
// them. Of EXEC that stands behind a code of its own.
func refused(commands [][]any, answers []any) []string {
	var list [][]any
	for i, answer := range answers {
		if e, ok := answer.(replyError); ok && strings.Contains(string(e), "NOPERM ") {
			list = append(list, commands[i])
		}
	}
	return rules(list)
}

// rules names commands as ACL SETUSER does.
func rules(commands [][]any) []string {
	var names []string
	for _, command := range commands {
		name := strings.ToLower(fmt.Sprint(command[0]))
		if name == "client" || name == "function" {
			name += "|" + strings.ToLower(fmt.Sprint(command[1]))
		}
		names = append(names, name)
	}
	return names
}

// allows asks whether the user may execute a command; known is false where the
// server does not tell: before 7.0, and not everybody.
func (p place) allows(ctx context.Context, c *conn, command ...any) (allowed, known bool, err error) {
	answer, err := c.do(ctx, append([]any{"ACL", "DRYRUN", p.userName()}, command...)...)
	if code(err) != "" {
		return false, false, nil
	}
	return answer == "OK", err == nil, err
}
