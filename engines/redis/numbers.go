package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// occupy takes a free number, none of taken, by writing mark there, and returns it.
func (t *target) occupy(ctx context.Context, mark restored, taken []int) (int, error) {
	for {
		at, err := t.free(ctx, taken)
		if err != nil {
			return 0, err
		}
		if err := t.in(ctx, at, []any{"WATCH", markKey}); err != nil {
			return 0, err
		}
		size, err := t.control.do(ctx, "DBSIZE")
		if err != nil {
			return 0, err
		}
		if size == int64(0) {
			err = t.atomically(ctx, mark.put())
		} else {
			_, err = t.control.do(ctx, "UNWATCH")
		}
		switch {
		case errors.Is(err, errChanged):
		case err != nil:
			return 0, err
		case size == int64(0):
			return at, nil
		}
		taken = append(taken, at) // somebody else was faster
	}
}

// free finds the highest number of a database that is empty and nobody uses.
func (t *target) free(ctx context.Context, taken []int) (int, error) {
	if t.database != allDatabases {
		taken = append(taken, t.database)
	}
	i, err := t.control.info(ctx, "keyspace")
	if err != nil {
		return 0, err
	}
	for n := range i.keyspaces() {
		taken = append(taken, n)
	}
	id, err := t.control.do(ctx, "CLIENT", "ID")
	if err != nil {
		return 0, err
	}
	clients, err := t.control.clients(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range clients {
		if c.id != id {
			taken = append(taken, c.database)
		}
	}
	count, err := t.control.databases(ctx)
	if err != nil {
		return 0, err
	}
	for n := count - 1; n >= 0; n-- {
		if !slices.Contains(taken, n) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the Redis server at %s has no free database to build the new data in: all %d hold data, or somebody uses them: raise databases in its configuration", t.address, count)
}

// maxDatabases bounds the numbers that are looked for.
const maxDatabases = 1 << 14

// databases counts the databases that the server has.
func (c *conn) databases(ctx context.Context) (int, error) {
	const step = 64
	for n := 0; n < maxDatabases; n += step {
		var commands [][]any
		for i := range step {
			commands = append(commands, []any{"SELECT", n + i})
		}
		answers, err := c.pipeline(ctx, commands...)
		if err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(answers, func(a any) bool { return a != "OK" }); i >= 0 {
			return n + i, nil
		}
	}
	return maxDatabases, nil
}
