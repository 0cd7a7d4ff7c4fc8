package redis

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// markKey is the key that says to whom a database belongs. It is in no snapshot.
const markKey = "holdfast:restore"

// The phases of one database of a restore.
const (
	phaseStaging  = "staging"  // it is being built
	phaseStaged   = "staged"   // it is built and can be swapped
	phaseSwapped  = "swapped"  // what was current; the restored data is current
	phaseReverted = "reverted" // the restored data, which has been current meanwhile
)

// restored is what markKey says of the database it is in.
type restored struct {
	at      int // this database
	token   string
	current int    // the database that it is for, or was
	scope   string // of the restore: the number of a database, or scopeAll
	phase   string
	of      int       // how many databases the restore has
	lasting int64     // how many keys were staged that do not expire
	swapped time.Time // when
	// Payloads of FUNCTION RESTORE, with the first database of a restore of all.
	functions    string // of the snapshot
	oldFunctions string // what there was at the swap
	hasFunctions bool
}

// fields returns the key's content.
func (r restored) fields() []any {
	list := []any{"token", r.token, "current", r.current, "scope", r.scope, "phase", r.phase, "of", r.of, "lasting", r.lasting}
	if !r.swapped.IsZero() {
		list = append(list, "swapped", r.swapped.UnixMilli())
	}
	if r.hasFunctions {
		list = append(list, "functions", r.functions, "old-functions", r.oldFunctions)
	}
	return list
}

// put returns the command that writes the key in the connection's database.
func (r restored) put() []any { return append([]any{"HSET", markKey}, r.fields()...) }

// restores reads the keys of all databases. It leaves the connection in any of them.
func (c *conn) restores(ctx context.Context) ([]restored, error) {
	i, err := c.info(ctx, "keyspace")
	if err != nil {
		return nil, err
	}
	var all []restored
	for n := range i.keyspaces() {
		answers, err := c.pipeline(ctx, []any{"SELECT", n}, []any{"HGETALL", markKey})
		if err != nil {
			return nil, err
		}
		if answers[0] != "OK" {
			continue // a database that is kept from us holds nothing of ours
		}
		switch list := answers[1].(type) {
		case []any:
			if len(list) > 0 {
				all = append(all, parseRestored(n, list))
			}
		case replyError:
			if code(list) != "WRONGTYPE" && code(list) != "NOPERM" {
				return nil, c.explain([]any{"HGETALL"}, list)
			}
		}
	}
	slices.SortFunc(all, func(a, b restored) int { return a.current - b.current })
	return all, nil
}

func parseRestored(at int, list []any) restored {
	r := restored{at: at}
	for pair := range slices.Chunk(list, 2) {
		if len(pair) < 2 {
			break
		}
		value, _ := pair[1].(string)
		n, _ := strconv.ParseInt(value, 10, 64) // 0 is refused where it counts
		switch pair[0] {
		case "token":
			r.token = value
		case "current":
			r.current = int(n)
		case "scope":
			r.scope = value
		case "phase":
			r.phase = value
		case "of":
			r.of = int(n)
		case "lasting":
			r.lasting = n
		case "swapped":
			r.swapped = time.UnixMilli(n)
		case "functions":
			r.functions, r.hasFunctions = value, true
		case "old-functions":
			r.oldFunctions = value
		}
	}
	return r
}

// mine are the databases of this restore, by the number that they are for. Another
// service on the server may be restored under the same token.
func (t *target) mine(ctx context.Context) ([]restored, error) {
	all, err := t.control.restores(ctx)
	return slices.DeleteFunc(all, func(r restored) bool { return r.token != t.token || r.scope != t.scope() }), err
}

// retired is what a restore has put aside.
type retired struct {
	as        map[int]int // by the number where it is now: the one where it was
	at        time.Time
	functions [][]byte
}

func (r *retired) choose(database int) (int, bool) {
	as, ok := r.as[database]
	return as, ok
}

// payload closes what RESTORE and FUNCTION RESTORE take with the version that it
// needs and a checksum.
func payload(body []byte, version int) []byte {
	body = binary.LittleEndian.AppendUint16(body, uint16(version))
	return binary.LittleEndian.AppendUint64(body, checksum(0, body))
}

// footer is the length of what payload appends.
const footer = 2 + checksumSize

// versionOf returns the version of the format that a server writes, from an answer
// to DUMP.
func versionOf(dumped string) (int, error) {
	if len(dumped) < footer {
		return 0, fmt.Errorf("an answer to DUMP of %d bytes: %w", len(dumped), errDump)
	}
	return int(binary.LittleEndian.Uint16([]byte(dumped[len(dumped)-footer:]))), nil
}

// libraryList takes an answer to FUNCTION DUMP apart.
func libraryList(dumped string) ([][]byte, error) {
	if len(dumped) < footer {
		return nil, fmt.Errorf("an answer to FUNCTION DUMP of %d bytes: %w", len(dumped), errDump)
	}
	d := &decoder{r: bufio.NewReader(strings.NewReader(dumped[:len(dumped)-footer]))}
	var list [][]byte
	for {
		if _, err := d.r.Peek(1); errors.Is(err, io.EOF) {
			return list, nil
		}
		r, err := d.next()
		if err == nil && r.code != opFunction {
			err = errDump
		}
		if err != nil {
			return nil, fmt.Errorf("an answer to FUNCTION DUMP: %w", err)
		}
		list = append(list, bytes.Clone(r.value))
	}
}
