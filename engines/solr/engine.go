package solr

import (
	"fmt"
	"time"

	"holdfast/engines"
)

// Engine captures and restores one core of a Solr server.
var Engine = engines.Engine{
	Name:    "solr",
	Schemes: []string{"solr", "solrs"},
	Grain:   engines.Fine,
	Source: func(s engines.Service) (engines.Source, error) {
		p, err := placeOf(s)
		if err != nil {
			return nil, err
		}
		return &source{place: p, now: time.Now, pingEvery: pingEvery, unheld: s.Unheld}, nil
	},
	Target: func(s engines.Service, token string) (engines.Target, error) {
		p, err := placeOf(s)
		if err != nil {
			return nil, err
		}
		if err := engines.CheckToken(token); err != nil {
			return nil, err
		}
		if s.Subpath != "" {
			return nil, fmt.Errorf("%s: a core can only be restored as a whole", s.Name)
		}
		return &target{place: p, token: token, taken: s.Server, staging: beside(p.core, token)}, nil
	},
}

// ours is what the names of all cores and directories of restores contain.
const ours = "holdfast_"

// beside names the second core of one restore of a core, and its directory.
func beside(core, token string) string { return core + "_" + ours + token }
