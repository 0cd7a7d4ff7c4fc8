package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Retired implements engines.Target.
func (t *target) Retired(context.Context) (engines.Source, error) {
	created, retired, err := t.traces()
	switch {
	case err != nil:
		return nil, err
	case retired:
		return &retiredSource{path: t.beside.retired, current: t.beside.current, entryName: t.entryName}, nil
	case created:
		return nil, fmt.Errorf("database %s was created by this restore, there is nothing retired: %w", t.configured, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("database %s was not swapped, there is nothing retired: %w", t.configured, fs.ErrNotExist)
	}
}

// retiredSource captures the pages that Swap put aside. The file is ours alone:
// no lock, no transaction.
type retiredSource struct {
	path, current, entryName string

	file *os.File
}

// Prepare implements engines.Source.
func (s *retiredSource) Prepare(context.Context, engines.Sink) (err error) {
	s.file, err = os.Open(s.path)
	return err
}

// Mark implements engines.Source. The point is the swap.
func (s *retiredSource) Mark(context.Context, engines.Sink) (engines.Point, error) {
	info, err := s.file.Stat()
	if err != nil {
		return engines.Point{}, err
	}
	point := engines.Point{At: info.ModTime().In(time.UTC)}
	var page [headerSize]byte
	if _, err := s.file.ReadAt(page[:], 0); err != nil {
		return engines.Point{}, fmt.Errorf("read retired database %s: %w", s.path, err)
	}
	h, err := parseHeader(page[:])
	if err != nil {
		return engines.Point{}, fmt.Errorf("read retired database %s: %w", s.path, err)
	}
	point.Server, point.Position = h.server(), h.position()
	return point, nil
}

// Send implements engines.Source. Owner and mode are those of the current file,
// which the swap has not touched.
func (s *retiredSource) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	info, err := os.Stat(s.current)
	if err != nil {
		return engines.Result{}, err
	}
	if _, err := s.file.Seek(0, 0); err != nil {
		return engines.Result{}, err
	}
	base, _ := sink.Parent(s.entryName)
	e, err := sink.Put(ctx, fileEntry(s.entryName, info), base.Content, s.file)
	if err != nil {
		return engines.Result{}, fmt.Errorf("send retired database %s: %w", s.path, err)
	}
	return engines.Result{Entries: []tree.Entry{e}}, nil
}

// Close implements engines.Source.
func (s *retiredSource) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
