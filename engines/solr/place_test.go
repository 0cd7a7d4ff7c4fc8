package solr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/engines"
	"holdfast/engines/enginetest"
	"holdfast/internal/testserver"
)

// testPlace is one core with a ledger, whose accounts have a fixed sum. Solr has
// no transactions: what must hold at any instant is within one document.
type testPlace struct {
	server *testserver.SolrServer
	name   string
	own    bool // its config set is in its own directory
}

var places atomic.Int64

// newPlace makes a place; every other one has a config set of its own.
func newPlace(t *testing.T, server *testserver.SolrServer) *testPlace {
	n := places.Add(1)
	p := &testPlace{server: server, name: fmt.Sprintf("place%d", n), own: n%2 == 0}
	t.Cleanup(func() {
		if err := p.remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Service implements enginetest.Place.
func (p *testPlace) Service() engines.Service {
	return engines.Service{Name: "search", URL: p.server.URL(p.name), Password: p.server.Password}
}

// call sends a request as the site's user, and decodes the answer into a value. A
// server that has just begun is given time to load its cores.
func (p *testPlace) call(ctx context.Context, path string, parameters url.Values, body, into any) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := p.send(ctx, path, parameters, body, into)
		if code(err) != 503 || time.Now().After(deadline) {
			return err
		}
	}
}

func (p *testPlace) send(ctx context.Context, path string, parameters url.Values, body, into any) error {
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	if parameters == nil {
		parameters = url.Values{}
	}
	parameters.Set("wt", "json")
	request, err := http.NewRequestWithContext(ctx, method, p.server.Address()+path+"?"+parameters.Encode(), bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth(p.server.User, p.server.Password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = &refusal{code: response.StatusCode, text: string(answer)}
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	return err
}

func (p *testPlace) admin(ctx context.Context, pairs ...string) error {
	return p.call(ctx, "/admin/cores", query(pairs...), nil, nil)
}

// status tells about the core; its Name is "" where there is none.
func (p *testPlace) status(ctx context.Context) (coreStatus, error) {
	for {
		var answer status
		err := p.call(ctx, "/admin/cores", query("action", "STATUS", "core", p.name), nil, &answer)
		if s := answer.Status[p.name]; err != nil || !s.loading() {
			return s, err
		}
	}
}

// remove removes the core and all that belongs to it.
func (p *testPlace) remove(ctx context.Context) error {
	s, err := p.status(ctx)
	if err == nil && s.Name != "" {
		config, _ := p.configDirectory(s)
		if set := filepath.Dir(config); strings.HasPrefix(filepath.Base(set), ours) {
			err = os.RemoveAll(set)
		}
		err = errors.Join(err, p.admin(ctx, "action", "UNLOAD", "core", p.name, "deleteInstanceDir", "true"))
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(p.server.Home, p.name)))
}

// Fill implements enginetest.Place.
func (p *testPlace) Fill(ctx context.Context, kind enginetest.Kind) error {
	if err := p.remove(ctx); err != nil || kind == enginetest.Missing {
		return err
	}
	create := []string{"action", "CREATE", "name", p.name, "instanceDir", p.name}
	if p.own || kind == enginetest.Odd {
		p.server.PlainConfig(filepath.Join(p.server.Home, p.name))
	} else {
		create = append(create, "configSet", "plain")
	}
	if kind == enginetest.Odd {
		if err := p.oddConfig(); err != nil {
			return err
		}
	}
	if err := p.admin(ctx, create...); err != nil || kind == enginetest.Empty {
		return err
	}
	return p.call(ctx, "/"+p.name+"/update", nil, documents(kind), nil)
}

type document = map[string]any

const accounts, opening = 10, 1000

func account(n int) string { return fmt.Sprintf("account%d_l", n) }

// documents are those of that kind, the ledger among them.
func documents(kind enginetest.Kind) []document {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(size int) string {
		letters := make([]byte, size)
		for i := range letters {
			letters[i] = byte('a' + random.IntN(26))
		}
		return string(letters)
	}
	ledger := document{"id": "ledger"}
	for n := range accounts {
		ledger[account(n)] = opening
	}
	all := []document{ledger}
	for n := range 300 {
		all = append(all, document{"id": fmt.Sprintf("page%d", n), "title_s": text(20), "body_t": text(400), "size_l": n})
	}
	switch kind {
	case enginetest.Large:
		all = append(all, document{"id": "large", "body_t": text(5 << 19)}, document{"id": "repeated", "body_t": strings.Repeat("Größe\n", 200000)})
	case enginetest.Odd:
		for _, id := range []string{" ", "a/b", "..", "*:*", `"quoted" \`, "ключ", "🦊", "line\nbreak", "nul\x00"} {
			all = append(all, document{"id": id, "title_s": id, "body_t": id, "size_l": -1 << 63, "empty_s": ""})
		}
	}
	return all
}

// oddConfig adds files to the core's config set that nothing reads.
func (p *testPlace) oddConfig() error {
	for name, text := range map[string]string{"lang/stop words_de.txt": "und\n", "lang/a+b&c=d%20.txt": "x", "lang-more.txt": "", "ключ.txt": "🦊",
		"lang/deep/er/large.txt": strings.Repeat("word\n", 250000), "exact.txt": strings.Repeat("x", 1<<20)} {
		path := filepath.Join(p.server.Home, p.name, "conf", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Write implements enginetest.Place: it moves an amount from one account to
// another, notes that, and commits nothing.
func (p *testPlace) Write(ctx context.Context, n int) error {
	from, to := n%accounts, (n*3+1)%accounts
	if from == to {
		to = (to + 1) % accounts
	}
	amount := n%17 + 1
	body := []document{
		{"id": "ledger", account(from): document{"inc": -amount}, account(to): document{"inc": amount}},
		{"id": fmt.Sprintf("move%d", n), "size_l": amount},
	}
	return p.call(ctx, "/"+p.name+"/update", nil, body, nil)
}

// show makes everything visible and returns the documents in order.
func (p *testPlace) show(ctx context.Context, what string) ([]json.RawMessage, error) {
	if err := p.call(ctx, "/"+p.name+"/update", url.Values{"commit": {"true"}}, nil, nil); err != nil {
		return nil, err
	}
	var answer struct {
		Response struct {
			Docs []json.RawMessage `json:"docs"`
		} `json:"response"`
	}
	err := p.call(ctx, "/"+p.name+"/select", query("q", what, "sort", "id asc", "rows", "1000000", "fl", "*"), nil, &answer)
	return answer.Response.Docs, err
}

// Check implements enginetest.Place.
func (p *testPlace) Check(ctx context.Context) error {
	found, err := p.show(ctx, "id:ledger")
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d ledgers", len(found))
	}
	var ledger document
	if err := json.Unmarshal(found[0], &ledger); err != nil {
		return err
	}
	var sum float64
	for n := range accounts {
		balance, _ := ledger[account(n)].(float64)
		sum += balance
	}
	if sum != accounts*opening {
		return fmt.Errorf("the accounts hold %v instead of %d", sum, accounts*opening)
	}
	return nil
}

// Dump implements enginetest.Place.
func (p *testPlace) Dump(ctx context.Context) (string, error) {
	s, err := p.status(ctx)
	if err != nil || s.Name == "" {
		return "", err
	}
	all, err := p.show(ctx, "*:*")
	if err != nil {
		return "", err
	}
	text := string(bytes.Join(asBytes(all), []byte("\n")))
	directory, err := p.configDirectory(s)
	if err != nil {
		return "", err
	}
	err = filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry != nil && strings.HasPrefix(entry.Name(), ours) && path != directory {
				return filepath.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		text += fmt.Sprintf("\n%s: %q", strings.TrimPrefix(path, directory), content)
		return err
	})
	return text, err
}

func asBytes(all []json.RawMessage) [][]byte {
	out := make([][]byte, len(all))
	for i, d := range all {
		out[i] = d
	}
	return out
}

// configDirectory reads from core.properties where the core's config set is.
func (p *testPlace) configDirectory(s coreStatus) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.InstanceDir, "core.properties"))
	for line := range strings.Lines(string(text)) {
		if set, ok := strings.CutPrefix(strings.TrimSpace(line), "configSet="); ok {
			if !filepath.IsAbs(set) {
				set = filepath.Join(p.server.Home, "configsets", set)
			}
			return filepath.Join(set, "conf"), err
		}
	}
	return filepath.Join(s.InstanceDir, "conf"), err
}

// Litter implements enginetest.Place.
func (p *testPlace) Litter(ctx context.Context) ([]string, error) {
	var answer status
	if err := p.call(ctx, "/admin/cores", query("action", "STATUS", "indexInfo", "false"), nil, &answer); err != nil {
		return nil, err
	}
	var litter []string
	for name := range answer.Status {
		if strings.HasPrefix(name, p.name+"_") {
			litter = append(litter, "core "+name)
		}
	}
	inUse := map[string]bool{}
	for _, s := range answer.Status {
		config, err := p.configDirectory(s)
		if err != nil {
			return nil, err
		}
		root, _, _ := strings.Cut(config, "/conf/"+ours)
		inUse[s.InstanceDir], inUse[filepath.Dir(config)], inUse[strings.TrimSuffix(root, "/conf")] = true, true, true
	}
	for _, pattern := range []string{p.name, p.name + "_*", p.name + "*/conf/" + ours + "*", p.name + "*/conf/conf.*", "configsets/plain/conf/" + ours + "*"} {
		found, err := filepath.Glob(filepath.Join(p.server.Home, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			if !inUse[path] {
				litter = append(litter, path)
			}
		}
	}
	return litter, nil
}
