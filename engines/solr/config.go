package solr

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// configFile is a file of a core's config set.
type configFile struct {
	Path string // within the config directory: lang/stopwords_de.txt
	Size int64
}

// maxDepth bounds how deep the directories of a config set lie within each other.
const maxDepth = 16

// config lists a core's config set in order of the paths. What restores have put
// there for other cores is left out.
func (p place) config(ctx context.Context, core string) ([]configFile, error) {
	var all []configFile
	err := p.listConfig(ctx, core, "", &all)
	// The order is that of a tree's entries: what is in a directory comes before
	// what has its name and more.
	order := func(f configFile) string { return strings.ReplaceAll(f.Path, "/", "\x00") }
	slices.SortFunc(all, func(a, b configFile) int { return cmp.Compare(order(a), order(b)) })
	return all, err
}

func (p place) listConfig(ctx context.Context, core, directory string, all *[]configFile) error {
	if strings.Count(directory, "/") >= maxDepth {
		return fmt.Errorf("%s: the config set of core %s is more than %d directories deep", p.at(), core, maxDepth)
	}
	parameters := query()
	if directory != "" {
		parameters.Set("file", directory)
	}
	var answer struct {
		Files map[string]struct {
			Size      int64 `json:"size"`
			Directory bool  `json:"directory"`
		} `json:"files"`
	}
	if err := p.ask(ctx, "list its config set", "/"+core+"/admin/file", parameters, &answer); err != nil {
		return err
	}
	for name, file := range answer.Files {
		at := path.Join(directory, name)
		if !file.Directory {
			*all = append(*all, configFile{at, file.Size})
			continue
		}
		if directory == "" && strings.HasPrefix(name, ours) {
			continue
		}
		if err := p.listConfig(ctx, core, at, all); err != nil {
			return err
		}
	}
	return nil
}

// readConfig reads a file of a config set. One that is replaced meanwhile is
// engines.ErrPointLost.
func (p place) readConfig(ctx context.Context, core string, file configFile) *fetching {
	return &fetching{ctx: ctx, place: p, core: core, kind: configKind, name: file.Path, size: file.Size}
}

// configDirectory finds out in which directory of its server a core's config set
// is. Solr tells that only when it looks there for something in vain.
func (p place) configDirectory(ctx context.Context, core string) (string, error) {
	const nothing = ours + "is.looking"
	err := p.ask(ctx, "find its config set", "/"+core+"/admin/file", query("file", nothing), &struct{}{})
	var found string
	if text := fmt.Sprint(err); code(err) == 404 {
		_, text, _ = strings.Cut(text, "[")
		text, _, _ = strings.Cut(text, "]")
		found = strings.TrimSuffix(text, "/"+nothing)
	} else if err != nil {
		return "", err
	}
	if !path.IsAbs(found) || path.Base(found) != "conf" {
		return "", fmt.Errorf("%s does not tell where the config set of core %s is", p.at(), core)
	}
	return found, nil
}
