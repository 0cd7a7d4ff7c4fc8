package dump

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Output puts the streams of one service's dump into a sink. Its methods may be
// called from several goroutines.
type Output struct {
	sink    engines.Sink
	service string
	at      time.Time
	// bases are what the parent snapshot holds of the service, by path: "schema.sql",
	// "tables/orders.sql", "tables"; "" is the directory, ".sql" the joined file.
	bases map[string]tree.Entry
}

// NewOutput looks up what the parent snapshot holds of service. What changed since
// then is dated at. What of the parent cannot be read costs its differences, not the
// snapshot.
func NewOutput(ctx context.Context, sink engines.Sink, service string, at time.Time) (*Output, error) {
	out := &Output{sink: sink, service: service, at: at, bases: map[string]tree.Entry{}}
	if joined, ok := sink.Parent(service + Extension); ok {
		out.bases[Extension] = joined
	}
	top, ok := sink.Parent(service)
	if !ok || top.Type != tree.Directory {
		return out, nil
	}
	out.bases[""] = top
	out.addBases(ctx, "", top)
	return out, context.Cause(ctx)
}

func (out *Output) addBases(ctx context.Context, prefix string, directory tree.Entry) {
	for e, err := range out.sink.Children(ctx, directory) {
		if err != nil {
			return
		}
		out.bases[prefix+e.Name] = e
		if e.Type == tree.Directory && e.Name == TablesDir && prefix == "" {
			out.addBases(ctx, TablesDir+"/", e)
		}
	}
}

// Put stores a stream. path is "schema.sql", or "tables/orders.sql".
func (out *Output) Put(ctx context.Context, path string, content io.Reader) (tree.Entry, error) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	e, err := out.sink.Put(ctx, file(name), out.bases[path].Content, content)
	return out.dated(e, path), err
}

// Script is what a dump consists of: entries that Put has returned.
type Script struct {
	Before, Tables, After []tree.Entry // in the order in which they are loaded
	Apart                 []tree.Entry // in the directory only
}

// Whole puts the directory together, and the one file of all streams; these are what
// a source's Result consists of.
func (out *Output) Whole(ctx context.Context, s Script) ([]tree.Entry, error) {
	tables, err := out.directory(ctx, TablesDir, TablesDir, s.Tables)
	if err != nil {
		return nil, err
	}
	top, err := out.directory(ctx, "", out.service, slices.Concat(s.Before, s.After, s.Apart, []tree.Entry{tables}))
	if err != nil {
		return nil, err
	}
	var parts []tree.Stream
	for _, e := range slices.Concat(s.Before, s.Tables, s.After) {
		parts = append(parts, e.Content)
	}
	joined, err := out.sink.Join(ctx, file(out.service+Extension), parts...)
	if err != nil {
		return nil, err
	}
	return []tree.Entry{top, out.dated(joined, Extension)}, nil
}

func (out *Output) directory(ctx context.Context, path, name string, children []tree.Entry) (tree.Entry, error) {
	sorted := slices.SortedFunc(slices.Values(children), func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	e := tree.Entry{Name: name, Type: tree.Directory, Mode: 0o750}
	e, err := out.sink.PutDirectory(ctx, e, out.bases[path].Content, Listing(sorted))
	return out.dated(e, path), err
}

func file(name string) tree.Entry { return tree.Entry{Name: name, Type: tree.File, Mode: 0o640} }

// dated gives e the time when its content was first seen.
func (out *Output) dated(e tree.Entry, path string) tree.Entry {
	e.MTime = tree.TimeOf(out.at)
	if before, ok := out.bases[path]; ok && before.Content.Equal(e.Content) {
		e.MTime = before.MTime
	}
	return e
}

// Listing yields entries, as a Sink takes the children of a directory.
func Listing(entries []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

var errNoEntries = errors.New("the snapshot holds no database")

// Top finds the directory of streams among a service's entries.
func Top(entries []tree.Entry) (tree.Entry, error) {
	for _, e := range entries {
		if e.Type == tree.Directory {
			return e, nil
		}
	}
	return tree.Entry{}, errNoEntries
}

// OneLine makes a name fit for a comment.
func OneLine(s string) string { return strings.Map(func(r rune) rune { return max(r, ' ') }, s) }
