package solr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// The names within the directory of a snapshot.
const (
	configDir  = "conf"
	commitFile = "core.json"
	indexDir   = "index"
)

// maxManifest bounds core.json, in bytes.
const maxManifest = 64 << 20

// stored is what a snapshot holds of a core.
type stored struct {
	commit commit
	config tree.Entry            // a directory
	index  map[string]tree.Entry // by name
	top    map[string]tree.Entry // the three parts, by name
}

// errNotCore is wrapped by errors about a snapshot that holds no core.
var errNotCore = errors.New("the snapshot holds no Solr core")

// storedIn reads what entries, a service's entries in a snapshot, hold.
func storedIn(ctx context.Context, name string, entries []tree.Entry, content engines.Content) (stored, error) {
	for _, e := range entries {
		if e.Name == name && e.Type == tree.Directory {
			return storedAt(ctx, e, content)
		}
	}
	return stored{}, fmt.Errorf("service %s: %w", name, errNotCore)
}

func storedAt(ctx context.Context, directory tree.Entry, content engines.Content) (stored, error) {
	s := stored{index: map[string]tree.Entry{}, top: map[string]tree.Entry{}}
	for e, err := range content.Children(ctx, directory) {
		if err != nil {
			return stored{}, err
		}
		s.top[e.Name] = e
	}
	manifest, index := s.top[commitFile], s.top[indexDir]
	s.config = s.top[configDir]
	if manifest.Type != tree.File || index.Type != tree.Directory || s.config.Type != tree.Directory {
		return stored{}, fmt.Errorf("%s: %s, %s or %s is missing: %w", directory.Name, configDir, commitFile, indexDir, errNotCore)
	}
	text, err := readAll(ctx, content, manifest, maxManifest)
	if err != nil {
		return stored{}, err
	}
	if err := json.Unmarshal(text, &s.commit); err != nil {
		return stored{}, fmt.Errorf("%s/%s: %w: %w", directory.Name, commitFile, errNotCore, err)
	}
	for e, err := range content.Children(ctx, index) {
		if err != nil {
			return stored{}, err
		}
		s.index[e.Name] = e
	}
	for _, f := range s.commit.Files {
		if e, ok := s.index[f.Name]; !ok || e.Type != tree.File || e.Size != uint64(f.Size) {
			return stored{}, fmt.Errorf("%s/%s/%s is missing, or of another size: %w", directory.Name, indexDir, f.Name, errNotCore)
		}
	}
	return s, nil
}

// same returns the stored entry of a file, if it is stored unchanged.
func (s stored) same(file indexFile) (tree.Entry, bool) {
	for _, f := range s.commit.Files {
		if f == file && f.Checksum != 0 {
			return s.index[f.Name], true
		}
	}
	return tree.Entry{}, false
}

// readAll reads a file of a snapshot of at most limit bytes.
func readAll(ctx context.Context, content engines.Content, e tree.Entry, limit uint64) ([]byte, error) {
	if e.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", e.Name, e.Size, limit)
	}
	file := content.Open(ctx, e)
	text, err := io.ReadAll(file)
	return text, errors.Join(err, file.Close())
}

// encode is core.json: equal commits give equal bytes.
func (c commit) encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", " ")
	return append(text, '\n'), err
}

// listing yields entries.
func listing(entries []tree.Entry) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
