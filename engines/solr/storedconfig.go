package solr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/adler32"
	"io"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// storedConfig is a file of a config set in a snapshot.
type storedConfig struct {
	entry    tree.Entry
	checksum uint32 // Adler-32, set by checksums
}

// configOf lists the config set in a snapshot by paths.
func configOf(ctx context.Context, s stored, content engines.Content) (map[string]storedConfig, error) {
	all := map[string]storedConfig{}
	var walk func(prefix string, directory tree.Entry, depth int) error
	walk = func(prefix string, directory tree.Entry, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%s is more than %d directories deep: %w", prefix, maxDepth, errNotCore)
		}
		for e, err := range content.Children(ctx, directory) {
			switch {
			case err != nil:
				return err
			case e.Type == tree.File:
				all[prefix+e.Name] = storedConfig{entry: e}
			case e.Type == tree.Directory:
				if err := walk(prefix+e.Name+"/", e, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return all, walk("", s.config, 0)
}

// checksums reads all files of a config set for their checksums.
func checksums(ctx context.Context, config map[string]storedConfig, content engines.Content) error {
	for path, f := range config {
		sum := adler32.New()
		file := content.Open(ctx, f.entry)
		_, err := io.Copy(sum, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		f.checksum = sum.Sum32()
		config[path] = f
	}
	return nil
}

// hasConfig reports whether a core has just that config set.
func (p place) hasConfig(ctx context.Context, core string, config map[string]storedConfig, content engines.Content) (bool, error) {
	files, err := p.config(ctx, core)
	if err != nil || len(files) != len(config) {
		return false, err
	}
	for _, file := range files {
		f, ok := config[file.Path]
		if !ok || uint64(file.Size) != f.entry.Size {
			return false, nil
		}
		same, err := p.sameFile(ctx, core, file, f, content)
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// sameFile compares a file of a core's config set with one in a snapshot.
func (p place) sameFile(ctx context.Context, core string, file configFile, f storedConfig, content engines.Content) (bool, error) {
	current := p.readConfig(ctx, core, file)
	defer current.close()
	before := content.Open(ctx, f.entry)
	defer before.Close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(current, a)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, err := io.ReadFull(before, b)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if n < len(a) {
			return true, nil
		}
	}
}
