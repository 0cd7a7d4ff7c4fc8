package mysql

import (
	"errors"
	"time"

	"holdfast/engines"
)

// Engine captures and restores one database of a MariaDB or MySQL server.
var Engine = engines.Engine{
	Name:    "mysql",
	Schemes: []string{"mysql", "mariadb"},
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
	return p.target(token), nil
}

func (p place) target(token string) *target {
	return &target{
		place:   p,
		token:   token,
		staging: beside(p.database, "_hf_", token),
		retired: beside(p.database, "_hr_", token),
		now:     time.Now,
	}
}

// maxDatabaseName is the servers' bound, in characters.
const maxDatabaseName = 64

// beside names a database that belongs to one restore of database. Whoever
// grants privileges on it can write the pattern database + `\_h_\_%`.
func beside(database, infix, token string) string {
	name := []rune(database)
	tail := infix + token[:10]
	return string(name[:min(len(name), maxDatabaseName-len(tail))]) + tail
}
