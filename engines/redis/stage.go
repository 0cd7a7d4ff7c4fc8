package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Stage implements engines.Target.
func (t *target) Stage(ctx context.Context, entries []tree.Entry, content engines.Content) (engines.Staged, error) {
	e, err := t.dumpOf(entries)
	if err != nil {
		return engines.Staged{}, err
	}
	if err := t.lock(ctx); err != nil {
		return engines.Staged{}, err
	}
	s := staging{target: t, databases: map[int]*staged{}, begun: t.now()}
	if err := s.clear(ctx); err != nil {
		return engines.Staged{}, err
	}
	file := content.Open(ctx, e)
	defer file.Close()
	if s.dump, err = newDecoder(file); err == nil {
		err = s.load(ctx)
	}
	if err != nil {
		return engines.Staged{}, fmt.Errorf("%s: %w", e.Name, err)
	}
	if err := s.verify(ctx); err != nil {
		return engines.Staged{}, err
	}
	return engines.Staged{Losses: s.losses, Notes: s.notes}, s.finish(ctx)
}

const (
	// batchSize and batchKeys bound what is sent to the server at a time.
	batchSize = 1 << 20
	batchKeys = 1000
	// soon is how far in the future a key may expire so that it need not be there
	// when all is counted.
	soon = time.Hour
)

// staging is the building of one restore.
type staging struct {
	*target
	dump      *decoder
	begun     time.Time
	named     []int           // databases in the snapshot, as far as it names them
	databases map[int]*staged // by the number that they are for
	version   int             // of the format that the server writes
	functions []byte
	libraries int

	current int // database of the batch
	batch   [][]any
	size    int64 // bytes of it
	weight  int64 // what it will take

	losses []engines.Loss
	notes  []string
}

// staged is one database.
type staged struct {
	at       int   // its number for now
	lasting  int64 // keys that do not expire
	expiring int64
	later    int64 // of these, not soon
}

// clear removes what killed restores of the same data have left, and what this
// one has begun. What a restore has retired is left alone: it may be the only copy.
func (s *staging) clear(ctx context.Context) error {
	all, err := s.control.restores(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case r.scope != s.scope():
		case r.token == s.token && r.phase == phaseSwapped:
			return fmt.Errorf("%v: restore %s has swapped already", s.place, s.token)
		case r.phase == phaseSwapped:
			s.notes = append(s.notes, fmt.Sprintf("database %d of the Redis server at %s still holds what restore %s replaced in database %d on %s; if it is not wanted: redis-cli -n %d FLUSHDB",
				r.at, s.address, r.token, r.current, r.swapped.UTC().Format(time.RFC3339), r.at))
		default:
			if err := s.remove(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads the dump and builds its databases.
func (s *staging) load(ctx context.Context) error {
	for {
		r, err := s.dump.next()
		if err != nil {
			return err
		}
		switch r.code {
		case opAux:
			if err := s.note(ctx, r); err != nil {
				return err
			}
		case opFunction:
			s.functions = append(append(s.functions, opFunction), r.value...)
			s.libraries++
		case opModuleAux:
			s.losses = append(s.losses, engines.Loss{Path: s.service + extension, Reason: "what module " + moduleName(r.value) + " keeps beside the keys cannot be restored over the network"})
		case keyRecord:
			if err := s.key(ctx, r); err != nil {
				return err
			}
		case opEnd:
			if len(s.databases) == 0 {
				return fmt.Errorf("it does not say of which databases it is: %w", errDump)
			}
			return s.flush(ctx)
		}
	}
}

// note reads what the dump says of itself: of which databases it is.
func (s *staging) note(ctx context.Context, r record) error {
	key, err := text(r.key)
	if err != nil || string(key) != scopeKey {
		return err
	}
	value, err := text(r.value)
	if err != nil {
		return err
	}
	words := strings.Fields(string(value))
	whole := len(words) > 0 && words[0] == scopeAll
	if whole {
		words = words[1:]
	}
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return fmt.Errorf("databases %q: %w", value, errDump)
		}
		s.named = append(s.named, int(n))
	}
	switch {
	case whole && s.database != allDatabases:
		return fmt.Errorf("it holds all databases of a server, and %v is one: restore it into a service without a number in its address", s.place)
	case !whole && s.database == allDatabases:
		return fmt.Errorf("it holds database %s alone, and %v is all: restore it into a service with a number in its address", value, s.place)
	case whole:
		return s.claim(ctx, 0)
	case len(s.named) != 1:
		return fmt.Errorf("databases %q: %w", value, errDump)
	}
	return s.claim(ctx, s.database)
}

// claim takes a free number for what is to be in database n.
func (s *staging) claim(ctx context.Context, n int) error {
	if s.databases[n] != nil {
		return nil
	}
	for other, d := range s.databases {
		if d.at == n {
			return fmt.Errorf("database %d is needed where database %d is being built: the dump does not name it in front", n, other)
		}
	}
	mark := restored{token: s.token, current: n, scope: s.scope(), phase: phaseStaging}
	at, err := s.occupy(ctx, mark, append(slices.Clone(s.named), n))
	if err != nil {
		return err
	}
	s.databases[n] = &staged{at: at}
	if s.version > 0 {
		return nil
	}
	dumped, err := s.control.do(ctx, "DUMP", markKey)
	if err != nil {
		return err
	}
	text, _ := dumped.(string)
	s.version, err = versionOf(text)
	return err
}

// key adds one key to the batch.
func (s *staging) key(ctx context.Context, r record) error {
	name, err := text(r.key)
	if err != nil {
		return fmt.Errorf("database %d: a key: %w", r.database, err)
	}
	needs := since(r.kind, s.dump.valkey)
	valkey := s.server["valkey_version"] != ""
	if needs > s.version || r.kind > typeStream3 && valkey != s.dump.valkey {
		return fmt.Errorf("key %q has a type that %s at %s does not know (%d, of version %d of the format; it writes version %d): a newer server is needed",
			name, s.server.product(), s.address, r.kind, needs, s.version)
	}
	n := r.database
	if s.database != allDatabases {
		n = s.database
	}
	if n != s.current || s.size >= batchSize || len(s.batch) >= batchKeys {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if len(s.databases) == 0 {
		return fmt.Errorf("it does not say of which databases it is: %w", errDump)
	}
	if err := s.claim(ctx, n); err != nil {
		return err
	}
	s.current = n
	d := s.databases[n]
	command := []any{"RESTORE", string(name), r.expires}
	if r.expires == 0 {
		d.lasting++
	} else {
		d.expiring++
		if time.UnixMilli(int64(min(r.expires, 1<<62))).After(s.begun.Add(soon)) {
			d.later++
		}
	}
	body := make([]byte, 0, 1+len(r.value)+footer)
	command = append(command, payload(append(append(body, r.kind), r.value...), needs), "ABSTTL")
	s.batch = append(s.batch, command)
	s.size += int64(len(name) + cap(body))
	s.weight += r.weight + int64(len(name)+elementWeight)
	return nil
}

// flush sends the batch, if the server has room for it: for what it becomes, and
// for the commands meanwhile.
func (s *staging) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	if err := s.room(ctx, s.weight+2*s.size); err != nil {
		return err
	}
	if err := s.at([]any{"RESTORE"}); err != nil {
		return err
	}
	commands := append([][]any{{"SELECT", s.databases[s.current].at}}, s.batch...)
	answers, err := s.control.pipeline(ctx, commands...)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		e, ok := answer.(replyError)
		switch {
		case !ok:
		case i == 0:
			return s.control.explain(commands[0], e)
		case code(e) == "BUSYKEY":
			return fmt.Errorf("key %q is already in database %d of the Redis server at %s, where the new data is built: somebody else writes there", commands[i][1], s.databases[s.current].at, s.address)
		default:
			return fmt.Errorf("key %q: %w", commands[i][1], s.control.explain(commands[i], e))
		}
	}
	s.batch, s.size, s.weight = s.batch[:0], 0, 0
	return nil
}

// verify counts what was built. Each value was compared with its checksum by the
// server, and is in no way to be compared once more: it may be kept in another form.
func (s *staging) verify(ctx context.Context) error {
	i, err := s.control.info(ctx, "keyspace")
	if err != nil {
		return err
	}
	for n, d := range s.databases {
		k := i.keyspaces()[d.at]
		lasting := k.keys - k.expires - 1 // the mark
		least := d.later
		if s.now().After(s.begun.Add(soon)) {
			least = 0
		}
		if lasting != d.lasting || k.expires > d.expiring || k.expires < least {
			return fmt.Errorf("database %d of the Redis server at %s, where database %d is built, holds %d keys that last and %d that expire instead of %d and %d: somebody else writes there, or keys were evicted",
				d.at, s.address, n, lasting, k.expires, d.lasting, d.expiring)
		}
	}
	return nil
}

// finish says in all databases that they are ready.
func (s *staging) finish(ctx context.Context) error {
	knowsFunctions, err := s.knowsFunctions(ctx)
	if err != nil {
		return err
	}
	if s.libraries > 0 && !knowsFunctions {
		s.losses = append(s.losses, engines.Loss{Path: s.service + extension,
			Reason: fmt.Sprintf("%s: %s has no functions", librariesOfFunctions(s.libraries), s.server.product())})
	}
	var commands [][]any
	first := true
	for _, n := range slices.Sorted(maps.Keys(s.databases)) {
		d := s.databases[n]
		mark := restored{token: s.token, current: n, scope: s.scope(), phase: phaseStaged, of: len(s.databases), lasting: d.lasting}
		if first && s.database == allDatabases && knowsFunctions {
			mark.hasFunctions, mark.functions = true, string(payload(s.functions, functionVersion))
		}
		first = false
		commands = append(commands, []any{"SELECT", d.at}, mark.put())
	}
	return s.atomically(ctx, commands...)
}

// functionVersion is the version of the format that brought functions.
const functionVersion = 10

// knowsFunctions reports whether the server has functions: since 7.0.
func (t *target) knowsFunctions(ctx context.Context) (bool, error) {
	_, err := t.control.do(ctx, "FUNCTION", "STATS")
	if code(err) == "ERR" {
		return false, nil
	}
	return err == nil, err
}
