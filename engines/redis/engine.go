package redis

import (
	"errors"
	"time"

	"holdfast/engines"
)

// Engine captures and restores databases of a Redis or Valkey server.
var Engine = engines.Engine{
	Name:    "redis",
	Schemes: []string{"redis", "rediss"},
	Grain:   engines.Fine,
	Source: func(s engines.Service) (engines.Source, error) {
		p, err := placeOf(s)
		if err != nil {
			return nil, err
		}
		return &source{place: p, now: time.Now, wait: markWait, hold: holdWait, unheld: s.Unheld}, nil
	},
	Target: func(s engines.Service, token string) (engines.Target, error) {
		t, err := newTarget(s, token)
		if err != nil {
			return nil, err
		}
		return t, nil
	},
}

func newTarget(s engines.Service, token string) (*target, error) {
	p, err := placeOf(s)
	if err != nil {
		return nil, err
	}
	if err := engines.CheckToken(token); err != nil {
		return nil, err
	}
	if s.Subpath != "" {
		return nil, errors.New(s.Name + ": a database can only be restored as a whole; to get at one key, load the exported file into another server")
	}
	return &target{place: p, token: token, taken: s.Server, now: time.Now}, nil
}
