package mysql

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// fileName is the name of a table's file. A table may be called anything: what a
// file cannot be called, and '%', is written as %2F.
func fileName(table string) string {
	var name strings.Builder
	for i, c := range []byte(table) {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '%' || c == '.' && i == 0 {
			fmt.Fprintf(&name, "%%%02X", c)
			continue
		}
		name.WriteByte(c)
	}
	return name.String() + extension
}

// tableName undoes fileName.
func tableName(file string) (string, error) {
	name, ok := strings.CutSuffix(file, extension)
	if !ok {
		return "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
	}
	table, err := url.PathUnescape(name)
	if err != nil || fileName(table) != file {
		return "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
	}
	return table, nil
}

// bases are what the parent snapshot holds of a service, by path: "schema.sql",
// "tables/orders.sql", "tables"; "" is the directory, ".sql" the joined file.
type bases map[string]tree.Entry

func newBases(ctx context.Context, sink engines.Sink, service string) (bases, error) {
	b := bases{}
	if joined, ok := sink.Parent(service + extension); ok {
		b[extension] = joined
	}
	top, ok := sink.Parent(service)
	if !ok || top.Type != tree.Directory {
		return b, nil
	}
	b[""] = top
	return b, b.add(ctx, sink, "", top)
}

func (b bases) add(ctx context.Context, sink engines.Sink, prefix string, directory tree.Entry) error {
	for e, err := range sink.Children(ctx, directory) {
		if err != nil {
			return err
		}
		b[prefix+e.Name] = e
		if e.Type == tree.Directory && e.Name == tablesDir && prefix == "" {
			if err := b.add(ctx, sink, tablesDir+"/", e); err != nil {
				return err
			}
		}
	}
	return nil
}
