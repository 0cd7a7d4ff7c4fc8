package redis

import (
	"context"
	"fmt"
)

// room refuses what would bring the server to its limit of memory: there it would
// evict current keys, or refuse the site's writes. need is in bytes.
func (t *target) room(ctx context.Context, need int64) error {
	i, err := t.control.info(ctx, "memory")
	if err != nil {
		return err
	}
	limit, name := i.number("maxmemory"), "maxmemory"
	if limit == 0 {
		limit, name = i.number("total_system_memory"), "the machine's memory"
	}
	if limit == 0 {
		return nil // it does not tell
	}
	reserve := limit / 20 // for what the site writes meanwhile
	if used := i.number("used_memory"); used+need > limit-reserve {
		return fmt.Errorf("the Redis server at %s has no room to build the new data beside the current data: it uses %d MiB, "+
			"%d MiB more are needed, and %s is %d MiB, of which a twentieth stays free: raise it for the time of the restore (maxmemory-policy is %s)",
			t.address, used>>20, need>>20+1, name, limit>>20, i["maxmemory_policy"])
	}
	return nil
}
