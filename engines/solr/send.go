package solr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// sending puts one marked commit into a sink.
type sending struct {
	*source
	sink   engines.Sink
	parent stored // what the parent snapshot holds, if anything
}

// Send implements engines.Source.
func (s *source) Send(ctx context.Context, sink engines.Sink) (engines.Result, error) {
	if s.reserved == nil {
		return engines.Result{}, errors.New("send before mark")
	}
	send := sending{source: s, sink: sink}
	parent, err := send.open(ctx)
	if err != nil {
		return engines.Result{}, err
	}
	e, err := send.core(ctx, parent)
	if err != nil {
		return engines.Result{}, err
	}
	return engines.Result{Entries: []tree.Entry{e}, Empty: s.marked.Documents == 0}, nil
}

// open looks up what the parent snapshot holds. Where that is another kind of service, or
// cannot be read, everything is fetched: it costs no snapshot.
func (s *sending) open(ctx context.Context) (parent tree.Entry, err error) {
	parent, ok := s.sink.Parent(s.service)
	if !ok || parent.Type != tree.Directory {
		return parent, nil
	}
	if s.parent, err = storedAt(ctx, parent, s.sink); err != nil {
		parent = tree.Entry{}
	}
	return parent, context.Cause(ctx)
}

// core puts everything.
func (s *sending) core(ctx context.Context, parent tree.Entry) (tree.Entry, error) {
	index, err := s.index(ctx)
	if err != nil {
		return tree.Entry{}, err
	}
	config, err := s.configSet(ctx)
	if err != nil {
		return tree.Entry{}, err
	}
	text, err := s.marked.encode()
	if err != nil {
		return tree.Entry{}, err
	}
	manifest, err := s.put(ctx, commitFile, s.parent.top[commitFile], bytes.NewReader(text))
	if err != nil {
		return tree.Entry{}, err
	}
	return s.sink.PutDirectory(ctx, entry(s.service, tree.Directory), parent.Content,
		listing([]tree.Entry{config, manifest, index}))
}

// put stores a file, with before, what the parent snapshot has in its place, as
// its base. Its time is that when its content was first seen.
func (s *sending) put(ctx context.Context, name string, before tree.Entry, content io.Reader) (tree.Entry, error) {
	e, err := s.sink.Put(ctx, entry(name, tree.File), before.Content, content)
	e.MTime = tree.TimeOf(s.instant)
	if before.Name == name && before.Content.Equal(e.Content) {
		e.MTime = before.MTime
	}
	return e, err
}

// index puts the files of the commit that the parent snapshot lacks.
func (s *sending) index(ctx context.Context) (tree.Entry, error) {
	var entries []tree.Entry
	for _, file := range s.marked.Files {
		if err := context.Cause(ctx); err != nil {
			return tree.Entry{}, err
		}
		e, ok := s.parent.same(file)
		if ok {
			s.sink.Keep(e)
		} else {
			var err error
			if e, err = s.indexFile(ctx, file); err != nil {
				return tree.Entry{}, err
			}
		}
		entries = append(entries, e)
	}
	return s.sink.PutDirectory(ctx, entry(indexDir, tree.Directory), s.parent.top[indexDir].Content, listing(entries))
}

func (s *sending) indexFile(ctx context.Context, file indexFile) (tree.Entry, error) {
	fetch := &fetching{ctx: ctx, place: s.place, core: s.from(), generation: s.marked.Generation, kind: indexKind, name: file.Name, size: file.Size}
	defer fetch.close()
	return s.put(ctx, file.Name, s.base(file), newVerifying(fetch, file))
}

// base is what a new file may resemble. Files of Lucene's are written once under
// a name, and mostly hold what was in files that they replace: those of the parent
// snapshot that are there no longer.
func (s *sending) base(file indexFile) tree.Entry {
	if e, ok := s.parent.index[file.Name]; ok {
		return e
	}
	current := map[string]bool{}
	for _, f := range s.marked.Files {
		current[f.Name] = true
	}
	var gone tree.Stream
	for _, f := range s.parent.commit.Files {
		if !current[f.Name] && kindOf(f.Name) == kindOf(file.Name) {
			gone.Refs = append(gone.Refs, s.parent.index[f.Name].Content.Refs...)
		}
	}
	return tree.Entry{Content: gone}
}

// kindOf is what files that may resemble each other have in common: the
// extension, or the name without its number.
func kindOf(name string) string {
	if strings.HasPrefix(name, segmentsFile) {
		return segmentsFile
	}
	return path.Ext(name)
}

// configSet puts the config set, which is small, whole.
func (s *sending) configSet(ctx context.Context) (tree.Entry, error) {
	files, err := s.config(ctx, s.from())
	if err != nil {
		return tree.Entry{}, err
	}
	return s.directory(ctx, configDir, "", files, s.parent.config)
}

// directory puts those of files, which are in order, that lie beneath prefix.
func (s *sending) directory(ctx context.Context, name, prefix string, files []configFile, parent tree.Entry) (tree.Entry, error) {
	before := map[string]tree.Entry{}
	if parent.Type == tree.Directory {
		for e, err := range s.sink.Children(ctx, parent) {
			if err != nil {
				break
			}
			before[e.Name] = e
		}
	}
	var entries []tree.Entry
	for len(files) > 0 {
		below := files[0].Path[len(prefix):]
		child, _, nested := strings.Cut(below, "/")
		n := 1
		var e tree.Entry
		var err error
		if nested {
			for n < len(files) && strings.HasPrefix(files[n].Path, prefix+child+"/") {
				n++
			}
			e, err = s.directory(ctx, child, prefix+child+"/", files[:n], before[child])
		} else {
			e, err = s.configFile(ctx, child, files[0], before[child])
		}
		if err != nil {
			return tree.Entry{}, err
		}
		entries = append(entries, e)
		files = files[n:]
	}
	return s.sink.PutDirectory(ctx, entry(name, tree.Directory), parent.Content, listing(entries))
}

func (s *sending) configFile(ctx context.Context, name string, file configFile, before tree.Entry) (tree.Entry, error) {
	if err := context.Cause(ctx); err != nil {
		return tree.Entry{}, err
	}
	fetch := s.readConfig(ctx, s.from(), file)
	defer fetch.close()
	e, err := s.put(ctx, name, before, fetch)
	if err != nil {
		return tree.Entry{}, fmt.Errorf("config set of core %s: %w", s.from(), err)
	}
	return e, nil
}

// entry begins an entry.
func entry(name string, kind tree.Type) tree.Entry {
	if kind == tree.Directory {
		return tree.Entry{Name: name, Type: kind, Mode: 0o750}
	}
	return tree.Entry{Name: name, Type: kind, Mode: 0o640}
}
