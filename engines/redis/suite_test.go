package redis

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

const testPassword = "correct horse"

func TestSuite(t *testing.T) { suite(t, "+@all", nil) }

func TestSuiteOfWhoMayNotSynchronise(t *testing.T) {
	suite(t, "+@all -psync -sync -replconf", map[enginetest.Case]string{
		enginetest.UnheldWrites: "keys are asked for one after the other: without a hold the snapshot says that it is not of one instant",
	})
}

// suite runs the suite for users with that right.
func suite(t *testing.T, rights string, cannot map[enginetest.Case]string) {
	server := testserver.Redis(t, "--databases", "200", "--enable-debug-command", "yes", "--requirepass", "none of yours")
	admin := dial(t, server, "none of yours", 0)
	for user, rules := range map[string]string{
		"blind":  "~* &* +@all -psync -sync -dump",
		"reader": "~* &* +@all -restore -swapdb -flushdb",
	} {
		admin.must(fields("ACL SETUSER " + user + " on >correct_horse " + rules)...)
	}
	service := func(user, password, database string) engines.Service {
		return engines.Service{Name: "cache", URL: server.URL(user, database), Password: password}
	}
	var places atomic.Int64
	enginetest.Run(t, enginetest.Harness{
		Engine: Engine,
		Cannot: cannot,
		Place: func(t *testing.T) enginetest.Place {
			n := int(places.Add(1))
			p := &testPlace{server: server, database: n, user: fmt.Sprintf("place%d", n), admin: dial(t, server, "none of yours", 0)}
			p.admin.must("ACL", "SETUSER", p.user, "on", ">"+testPassword, "~*", "&*")
			p.admin.must(append([]any{"ACL", "SETUSER", p.user}, fields(rights)...)...)
			t.Cleanup(func() {
				p.admin.must("SELECT", n)
				p.admin.must("FLUSHDB")
				p.admin.must("ACL", "DELUSER", p.user)
			})
			p.service = service(p.user, testPassword, strconv.Itoa(n))
			return p
		},
		Refused: func(t *testing.T) []enginetest.Refusal {
			address := server.URL("", "").Host
			nowhere := service("", testPassword, "1")
			nowhere.URL.Host = "127.0.0.1:1"
			withPassword := service("", testPassword, "1")
			withPassword.URL.User = url.UserPassword("default", testPassword)
			unknown := service("", testPassword, "1")
			unknown.URL.RawQuery = "timeout=3"
			return []enginetest.Refusal{
				{What: "wrong password", Service: service("", "wrong battery", "1"), Want: []string{address, "password"}},
				{What: "wrong user", Service: service("stranger", "wrong battery", "1"), Want: []string{address, "stranger", "password"}},
				{What: "no password", Service: service("", "", "1"), Want: []string{address, "password_file"}},
				{What: "nobody listens", Service: nowhere, Want: []string{"127.0.0.1:1", "reached"}},
				{What: "unknown database", Service: service("", "none of yours", "200"), Want: []string{address, "200"}},
				{What: "no number", Service: service("", testPassword, "shop"), Want: []string{"shop", "redis://host:6379/0"}},
				{What: "password in the address", Service: withPassword, Want: []string{"password_file"}},
				{What: "unknown parameter", Service: unknown, Want: []string{"timeout=3"}},
				{What: "may not synchronise", Service: service("blind", "correct_horse", "1"), Want: []string{"blind", "+psync"}, NoTarget: true},
				{What: "may not restore", Service: service("reader", "correct_horse", "1"), Want: []string{"reader", "+restore +swapdb +flushdb"}, NoSource: true},
			}
		},
	})
}

// admin is a connection of a test.
type admin struct {
	*conn
	tb testing.TB
}

func dial(tb testing.TB, server *testserver.RedisServer, password string, database int) *admin {
	tb.Helper()
	p := place{database: database, network: "unix", address: server.Socket, password: password, answer: time.Minute}
	c, err := p.connect(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	a := &admin{conn: c, tb: tb}
	a.must("SELECT", database)
	return a
}

// must executes a command that must work.
func (a *admin) must(command ...any) any {
	a.tb.Helper()
	answer, err := a.do(context.Background(), command...)
	if err != nil {
		a.tb.Fatal(err)
	}
	return answer
}

// settled waits until what was flushed ASYNC is no longer part of the server's memory.
func (a *admin) settled() {
	a.tb.Helper()
	for {
		i, err := a.info(a.tb.Context(), "memory")
		if err != nil {
			a.tb.Fatal(err)
		}
		if i.number("lazyfree_pending_objects") == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// fields makes a command of words.
func fields(command string) []any {
	var list []any
	for _, word := range strings.Fields(command) {
		list = append(list, word)
	}
	return list
}

// testPlace is one database with accounts.
type testPlace struct {
	server   *testserver.RedisServer
	admin    *admin
	database int
	user     string
	service  engines.Service
}

func (p *testPlace) Service() engines.Service { return p.service }

const accounts, opening = 40, 1000

// knownData has every type in its small and its large form.
func knownData() [][]any {
	var list [][]any
	add := func(command ...any) { list = append(list, command) }
	for i := range accounts {
		add("SET", fmt.Sprintf("account:%d", i), opening)
	}
	for i := range 200 {
		add("HSET", fmt.Sprintf("session:%08x", i*2654435761), "user", i, "agent", "Mozilla/5.0 (X11; Linux x86_64)", "cart", strings.Repeat("item;", i%20))
		add("PEXPIREAT", fmt.Sprintf("session:%08x", i*2654435761), 1900000000000+i)
		add("HSET", "settings", fmt.Sprintf("name %d", i), fmt.Sprintf("value %d", i*i))
		add("HSET", "catalogue", fmt.Sprintf("sku-%d", i), fmt.Sprintf("%0130d", i)) // beyond 64 bytes: a hash table
		add("SADD", "numbers", i)
		add("SADD", "tags", fmt.Sprintf("tag %d", i))
		add("ZADD", "small", i, fmt.Sprintf("m%d", i%20))
		add("ZADD", "ranking", float64(i)/7, fmt.Sprintf("player %d", i))
		add("XADD", "events", "*", "kind", "login", "user", i)
	}
	for i := range 600 {
		add("SADD", "visitors", fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	add("XGROUP", "CREATE", "events", "workers", "0")
	add("XREADGROUP", "GROUP", "workers", "anna", "COUNT", "5", "STREAMS", "events", ">")
	add("XGROUP", "CREATECONSUMER", "events", "workers", "bert")
	add("SET", "page", strings.Repeat("<li>entry</li>\n", 400))
	add("PFADD", "uniques", "a", "b", "c")
	add("SETBIT", "flags", 1000, 1)
	add("GEOADD", "shops", 13.4, 52.5, "Berlin")
	return list
}

// oddData has names and values that are hard to get right.
func oddData() [][]any {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	list := [][]any{
		{"SET", "", "empty name"}, {"SET", "empty value", ""}, {"SET", binary, binary}, {"SET", "a\r\nb", "\r\n$-1\r\n"},
		{"SET", strings.Repeat("long ", 20000), "x"}, {"SET", "ключ", "значение"}, {"SET", "*?[a]\\", "pattern"},
		{"HSET", "h", "", "", "f\x00", "\x00"}, {"RPUSH", "l", "", "1", "-1", "1.0", strings.Repeat("z", 70000), binary},
		{"SADD", "s", "", "00", "0", "-9223372036854775808"}, {"ZADD", "z", "-inf", "a", "+inf", "b", "-0", "c", "1e-300", "d"},
		{"SET", "12345", "98765"}, {"SET", "-1", "-1"}, {"SET", "070", "070"}, {"SET", "ttl", "x", "PXAT", "4102444800001"},
	}
	for _, n := range []int64{0, 127, 128, -128, -129, 32767, 32768, -32768, 1 << 31, -1 << 31, math.MaxInt64, math.MinInt64} {
		list = append(list, []any{"SET", fmt.Sprintf("n%d", n), n})
	}
	for _, n := range []int{63, 64, 16383, 16384, 20, 21} {
		list = append(list, []any{"SET", fmt.Sprintf("length %d", n), strings.Repeat("\xff\x00", n)[:n]}, []any{"SET", strings.Repeat("k", n), n})
	}
	return list
}

func largeData() [][]any {
	noise := make([]byte, 3<<20)
	for i, state := 0, uint64(1); i < len(noise); i++ {
		state = state*6364136223846793005 + 1442695040888963407
		noise[i] = byte(state >> 56)
	}
	list := [][]any{{"SET", "noise", noise}, {"SET", "zeros", make([]byte, 5<<20)}, {"RPUSH", "pages", noise[:1<<20], noise[1<<20 : 2<<20], "small"}}
	for i := range 200 {
		fields := []any{"HSET", "wide"}
		for j := range 100 {
			fields = append(fields, fmt.Sprintf("field %d", i*100+j), fmt.Sprintf("%x", i*j))
		}
		list = append(list, fields)
	}
	return list
}

func (p *testPlace) Fill(ctx context.Context, kind enginetest.Kind) error {
	list := [][]any{{"SELECT", p.database}, {"FLUSHDB"}}
	if kind == enginetest.Known || kind == enginetest.Large || kind == enginetest.Odd {
		list = append(list, knownData()...)
	}
	switch kind {
	case enginetest.Odd:
		list = append(list, oddData()...)
	case enginetest.Large:
		list = append(list, largeData()...)
	}
	return p.all(ctx, p.admin.conn, list)
}

func (p *testPlace) all(ctx context.Context, c *conn, list [][]any) error {
	answers, err := c.pipeline(ctx, list...)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		if e, ok := answer.(replyError); ok {
			return fmt.Errorf("%.100v: %w", list[i], e)
		}
	}
	return nil
}

func (p *testPlace) Write(ctx context.Context, n int) error {
	c, err := place{network: "unix", address: p.server.Socket, password: "none of yours", answer: time.Minute}.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return p.all(ctx, c, [][]any{{"SELECT", p.database}, {"MULTI"},
		{"DECRBY", fmt.Sprintf("account:%d", n%accounts), n % 17}, {"INCRBY", fmt.Sprintf("account:%d", (n*13+5)%accounts), n % 17},
		{"RPUSH", "moves", fmt.Sprintf("write %d", n)}, {"HSET", "settings", fmt.Sprintf("name %d", n%200), n}, {"EXEC"}})
}

func (p *testPlace) Check(ctx context.Context) error {
	list := []any{"MGET"}
	for i := range accounts {
		list = append(list, fmt.Sprintf("account:%d", i))
	}
	p.admin.must("SELECT", p.database)
	answer, err := p.admin.do(ctx, list...)
	if err != nil {
		return err
	}
	sum := 0
	for _, value := range answer.([]any) {
		text, _ := value.(string)
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("an account holds %v", value)
		}
		sum += n
	}
	if sum != accounts*opening {
		return fmt.Errorf("the accounts hold %d instead of %d", sum, accounts*opening)
	}
	return nil
}

func (p *testPlace) Dump(ctx context.Context) (string, error) {
	return dumpOf(ctx, p.admin.conn, p.database)
}

// dumpOf gives the server's own digest of each value, which depends on no order
// that means nothing, and what that leaves out: times and consumers of streams.
func dumpOf(ctx context.Context, c *conn, database int) (string, error) {
	if _, err := c.do(ctx, "SELECT", database); err != nil {
		return "", err
	}
	answer, err := c.do(ctx, "KEYS", "*")
	if err != nil {
		return "", err
	}
	keys := answer.([]any)
	slices.SortFunc(keys, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	var commands [][]any
	for _, key := range keys {
		commands = append(commands, []any{"TYPE", key}, []any{"PEXPIRETIME", key}, []any{"DEBUG", "DIGEST-VALUE", key}, []any{"XINFO", "STREAM", key, "FULL"})
	}
	answers, err := c.pipeline(ctx, commands...)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for i, key := range keys {
		a := answers[4*i : 4*i+4]
		if a[0] != "stream" {
			a[3] = ""
		}
		fmt.Fprintf(&text, "%q %v %v %v %v\n", key, a[0], a[1], a[2], a[3])
	}
	return text.String(), nil
}

// Litter names databases of restores, changed settings, and connections of the
// engine's user, which the server may take a moment to notice the end of.
func (p *testPlace) Litter(ctx context.Context) ([]string, error) {
	var litter []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		litter = nil
		restores, err := p.admin.restores(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range restores {
			if r.current == p.database {
				litter = append(litter, fmt.Sprintf("database %d: %+v", r.at, r))
			}
		}
		if len(litter) > 0 {
			return litter, nil
		}
		answer, err := p.admin.do(ctx, "CONFIG", "GET", "repl-diskless-sync*")
		if err != nil {
			return nil, err
		}
		if got := fmt.Sprint(answer); !strings.Contains(got, "repl-diskless-sync-delay 5") || !strings.Contains(got, "repl-diskless-sync yes") {
			litter = append(litter, got)
		}
		answer, err = p.admin.do(ctx, "CLIENT", "LIST")
		if err != nil {
			return nil, err
		}
		text, _ := answer.(string)
		for line := range strings.Lines(text) {
			if strings.Contains(line, "user="+p.user+" ") {
				litter = append(litter, line)
			}
		}
		if len(litter) == 0 {
			return nil, nil
		}
	}
	return litter, nil
}
