package solr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/engines"
)

// source captures one core.
type source struct {
	place
	// retired is the core that has the data which a restore put aside, or "".
	retired   string
	now       func() time.Time
	pingEvery time.Duration
	unheld    bool // see engines.Service

	server   string // product and version, once prepared
	marked   commit
	before   updates   // at the mark
	instant  time.Time // of the mark
	reserved *reservation
}

// from is the core that is read.
func (s *source) from() string {
	if s.retired != "" {
		return s.retired
	}
	return s.core
}

// Prepare implements engines.Source.
func (s *source) Prepare(ctx context.Context, _ engines.Sink) error {
	server, err := s.identify(ctx)
	if err != nil {
		return err
	}
	status, err := s.coreStatus(ctx, s.from())
	if err != nil {
		return err
	}
	if status.Name == "" {
		return fmt.Errorf("%s has no core %s", s.at(), s.from())
	}
	if _, err := s.config(ctx, s.from()); err != nil {
		return err
	}
	if err := s.hardCommit(ctx, s.from()); err != nil {
		return err
	}
	if _, err := s.newest(ctx, s.from()); err != nil {
		return err
	}
	s.server = server
	return nil
}

// Mark implements engines.Source.
func (s *source) Mark(ctx context.Context, _ engines.Sink) (engines.Point, error) {
	if s.server == "" {
		return engines.Point{}, errors.New("mark before prepare")
	}
	s.reserved.release()
	s.reserved = nil
	if !s.unheld && s.retired == "" {
		s.before, _ = s.updates(ctx) // a server that does not tell is not watched
	}
	if err := s.hardCommit(ctx, s.from()); err != nil {
		return engines.Point{}, err
	}
	s.instant = s.now()
	var err error
	if s.marked, err = s.newest(ctx, s.from()); err != nil {
		return engines.Point{}, err
	}
	s.reserved = s.reserve(ctx, s.from(), s.marked.Generation, s.pingEvery)
	return engines.Point{At: s.instant, Position: s.marked.position(), Server: s.server}, nil
}

// Close implements engines.Source.
func (s *source) Close() error {
	s.reserved.release()
	s.reserved = nil
	s.close()
	return nil
}
