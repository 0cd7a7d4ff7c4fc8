package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strconv"
)

// keysReader makes a dump out of keys that are asked for one after the other, for
// whom the server does not let synchronise: an io.Reader. What is written meanwhile
// is in it or not. It remembers a hash of each key, because SCAN may name one twice.
type keysReader struct {
	c         *conn
	databases []int // still to be read, the first one being read
	functions bool  // read them
	product   info

	cursor string // of SCAN in the first database; "" before that
	seen   map[uint64]struct{}
	seed   maphash.Seed
	out    []byte
	begun  bool
	err    error
}

func newKeysReader(c *conn, product info, databases []int, functions bool) *keysReader {
	return &keysReader{c: c, product: product, databases: databases, functions: functions, seed: maphash.MakeSeed()}
}

// perScan is about how many keys are asked for at a time.
const perScan = 500

// Read implements io.Reader.
func (k *keysReader) Read(p []byte) (int, error) {
	for len(k.out) == 0 && k.err == nil {
		// The connection is closed by who wants it to end.
		k.err = k.more(context.Background())
	}
	if len(k.out) == 0 {
		return 0, k.err
	}
	n := copy(p, k.out)
	k.out = k.out[n:]
	return n, nil
}

// more appends to out.
func (k *keysReader) more(ctx context.Context) error {
	switch {
	case !k.begun:
		k.begun = true
		return k.head(ctx)
	case len(k.databases) > 0:
		return k.page(ctx)
	}
	k.out = append(k.out, opEnd)
	k.out = append(k.out, make([]byte, checksumSize)...) // none: each value's was compared
	return io.EOF
}

// head begins the dump, with the libraries of functions.
func (k *keysReader) head(ctx context.Context) error {
	magic, key, is := magicRedis, "redis-ver", k.product["redis_version"]
	if v := k.product["valkey_version"]; v != "" {
		key, is = "valkey-ver", v
	}
	version := functionVersion
	var libraries [][]byte
	if k.functions {
		answer, err := k.c.do(ctx, "FUNCTION", "DUMP")
		if err != nil {
			return err
		}
		dumped, _ := answer.(string)
		if libraries, err = libraryList(dumped); err != nil {
			return err
		}
		if version, err = versionOf(dumped); err != nil {
			return err
		}
	}
	if version > 79 { // from then on Valkey's own
		magic = magicValkey
	}
	k.out = fmt.Appendf(k.out, "%s%0*d", magic, 9-len(magic), version)
	k.out = append(k.out, opAux)
	k.out = appendString(appendString(k.out, []byte(key)), []byte(is))
	for _, l := range libraries {
		k.out = append(append(k.out, opFunction), l...)
	}
	return nil
}

// page reads some keys of the first database.
func (k *keysReader) page(ctx context.Context) error {
	database := k.databases[0]
	if k.cursor == "" {
		if _, err := k.c.do(ctx, "SELECT", database); err != nil {
			return err
		}
		k.cursor, k.seen = "0", map[uint64]struct{}{}
		k.out = appendLength(append(k.out, opSelect), uint64(database))
	}
	answer, err := k.c.do(ctx, "SCAN", k.cursor, "COUNT", perScan)
	if err != nil {
		return err
	}
	page, ok := answer.([]any)
	if !ok || len(page) != 2 {
		return errProtocol
	}
	cursor, _ := page[0].(string)
	list, _ := page[1].([]any)
	var names []string
	for _, name := range list {
		name, _ := name.(string)
		sum := maphash.String(k.seed, name)
		if _, known := k.seen[sum]; known {
			continue
		}
		k.seen[sum] = struct{}{}
		names = append(names, name)
	}
	if err := k.values(ctx, names); err != nil {
		return err
	}
	if k.cursor = cursor; cursor == "0" {
		k.cursor, k.databases = "", k.databases[1:]
	}
	return nil
}

// values appends keys with their values, those that are still there.
func (k *keysReader) values(ctx context.Context, names []string) error {
	var commands [][]any
	for _, name := range names {
		commands = append(commands, []any{"DUMP", name}, []any{"PEXPIRETIME", name})
	}
	if len(commands) == 0 {
		return nil
	}
	answers, err := k.c.pipeline(ctx, commands...)
	if err != nil {
		return err
	}
	for i, name := range names {
		for j, answer := range answers[2*i : 2*i+2] {
			if e, ok := answer.(replyError); ok {
				return fmt.Errorf("key %q: %w", name, k.c.explain(commands[2*i+j], e))
			}
		}
		value, ok := answers[2*i].(string)
		if !ok {
			continue // it is gone
		}
		if len(value) <= footer || checksum(0, []byte(value[:len(value)-checksumSize])) != binary.LittleEndian.Uint64([]byte(value[len(value)-checksumSize:])) {
			return fmt.Errorf("key %q: its checksum is wrong: %w", name, errDump)
		}
		if at, _ := answers[2*i+1].(int64); at > 0 {
			k.out = binary.LittleEndian.AppendUint64(append(k.out, opExpireMS), uint64(at))
		}
		k.out = append(k.out, value[0])
		k.out = appendString(k.out, []byte(name))
		k.out = append(k.out, value[1:len(value)-footer]...)
	}
	return nil
}

// finish reads what follows the dump: nothing.
func (k *keysReader) finish(rest io.Reader) error {
	n, err := rest.Read(make([]byte, 1))
	if n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("bytes follow its end: %w", errDump)
	}
	return nil
}

// walk begins to ask for keys.
func (s *source) walk(ctx context.Context, excluded map[int]bool) (err error) {
	var databases []int
	switch {
	case s.retired != nil:
		for n := range s.retired.as {
			databases = append(databases, n)
		}
	case s.database != allDatabases:
		databases = []int{s.database}
	default:
		i, err := s.control.info(ctx, "keyspace")
		if err != nil {
			return err
		}
		for n := range i.keyspaces() {
			if !excluded[n] {
				databases = append(databases, n)
			}
		}
	}
	slices.Sort(databases)
	if s.sync, err = s.connect(ctx); err != nil {
		return err
	}
	k := newKeysReader(s.sync, s.product, databases, s.retired == nil && s.database == allDatabases)
	s.read(k, k.finish, excluded)
	return nil
}

// apart says what is not at the mark's instant: nothing that was read under the hold.
func (s *source) apart() []string {
	if s.rung != rungKeys || s.atOnce || s.retired != nil {
		return nil
	}
	if s.database == allDatabases {
		return []string{"the keys of all databases"}
	}
	return []string{"the keys of database " + strconv.Itoa(s.database)}
}
