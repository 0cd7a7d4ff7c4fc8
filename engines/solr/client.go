package solr

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"holdfast/engines"
)

// maxAnswer bounds an answer in JSON. A list of 100,000 files is a tenth of it.
const maxAnswer = 128 << 20

// query makes parameters of pairs of names and values.
func query(pairs ...string) url.Values {
	values := url.Values{"wt": {"json"}}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// get asks for path, which begins with "/", beneath the server's address. An
// answer other than 200 is a *refusal.
func (p place) get(ctx context.Context, path string, parameters url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if p.user != "" {
		request.SetBasicAuth(p.user, p.password)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // the code alone says enough
	var answer struct{ Error struct{ Msg string } }
	_ = json.Unmarshal(text, &answer) // what is not Solr's answers in HTML
	return nil, &refusal{code: response.StatusCode, text: answer.Error.Msg}
}

// ask decodes the answer to a request into a value; doing says what for.
func (p place) ask(ctx context.Context, doing, path string, parameters url.Values, into any) error {
	body, err := p.get(ctx, path, parameters)
	if err != nil {
		return p.explain(ctx, doing, err)
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return p.explain(ctx, doing, fmt.Errorf("its answer: %w", err))
	}
	return nil
}

// system is what a server says about itself.
type system struct {
	Mode   string `json:"mode"`
	Lucene struct {
		Version string `json:"solr-spec-version"`
	} `json:"lucene"`
}

// identify finds out what answers, and refuses what is not a Solr server that
// keeps its cores itself.
func (p place) identify(ctx context.Context) (server string, err error) {
	ctx, cancel := engines.Answering(ctx, p.at(), p.answer)
	defer cancel()
	var s system
	if err := p.ask(ctx, "find out its version", "/admin/info/system", query(), &s); err != nil {
		return "", err
	}
	var major int
	if _, err := fmt.Sscanf(s.Lucene.Version, "%d.", &major); err != nil {
		return "", fmt.Errorf("what answers at %s is not Solr", p.base)
	}
	if s.Mode == "solrcloud" {
		return "", fmt.Errorf("%s runs as SolrCloud, whose collections are spread over cores and servers: "+
			"a copy of one core would not be the collection; use its collection BACKUP", p.at())
	}
	if major < 9 {
		return "", fmt.Errorf("%s is version %s: 9 or later is needed", p.at(), s.Lucene.Version)
	}
	return "Solr " + s.Lucene.Version, nil
}
