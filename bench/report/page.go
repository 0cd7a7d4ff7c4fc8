package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// section is a place of a page that Render fills: what stands between the two
// comments is replaced.
var section = regexp.MustCompile(`(?s)<!-- table: ([a-z0-9-]+) -->\n.*?<!-- end of table -->`)

// Render fills the sections of a page from the JSON files in the directory that
// is named as the page is, without its suffix, and writes a picture beside each.
// A section without a file is emptied. It returns the page, which it does not
// write, and the names of the sections that are empty.
func Render(page string) (text string, empty []string, err error) {
	content, err := os.ReadFile(page)
	if err != nil {
		return "", nil, err
	}
	folder := strings.TrimSuffix(page, filepath.Ext(page))
	var names []string
	text = section.ReplaceAllStringFunc(string(content), func(whole string) string {
		name := section.FindStringSubmatch(whole)[1]
		names = append(names, name)
		filled, failed := fill(folder, name)
		if errors.Is(failed, fs.ErrNotExist) {
			empty = append(empty, name)
		} else {
			err = errors.Join(err, failed)
		}
		return fmt.Sprintf("<!-- table: %s -->\n%s<!-- end of table -->", name, filled)
	})
	if err != nil {
		return "", nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return "", nil, err
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); !slices.Contains(names, name) {
			return "", nil, fmt.Errorf("%s has no section for %s: <!-- table: %s -->", page, file, name)
		}
	}
	return text, empty, nil
}

// fill returns the inside of a section and writes its picture.
func fill(folder, name string) (string, error) {
	result, err := Load(filepath.Join(folder, name+".json"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, name+".svg"), result.Picture(), 0o644); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, line := range result.About() {
		fmt.Fprintf(&b, "%s\n", line)
	}
	fmt.Fprintf(&b, "\n![%s](%s/%s.svg)\n", name, filepath.Base(folder), name)
	for _, table := range result.Tables() {
		fmt.Fprintf(&b, "\n%s", table.markdown())
	}
	b.WriteString("\n")
	return b.String(), nil
}
