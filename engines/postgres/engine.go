package postgres

import (
	"errors"
	"time"

	"holdfast/engines"
)

// Engine captures and restores one database of a PostgreSQL server.
var Engine = engines.Engine{
	Name:    "postgres",
	Schemes: []string{"postgres", "postgresql"},
	Grain:   engines.Fine,
	Tables:  true,
	Source: func(s engines.Service) (engines.Source, error) {
		p, err := placeOf(s)
		if err != nil {
			return nil, err
		}
		return &source{place: p, now: time.Now, unheld: s.Unheld}, nil
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
		return nil, errors.New(s.Name + ": a database can only be restored as a whole; \"holdfast snapshot cat\" gives one table of it")
	}
	return &target{place: p, token: token, now: time.Now}, nil
}
