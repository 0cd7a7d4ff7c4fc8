package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// Names of what stands in a snapshot.
const (
	databaseFile   = "database.sql"
	schemaFile     = "schema.sql"
	tablesDir      = "tables"
	sequencesFile  = "sequences.sql"
	largeFile      = "largeobjects.sql"
	afterFile      = "after.sql"
	privilegesFile = "privileges.sql"
	accountsFile   = "accounts.sql" // there only on request
	extension      = ".sql"
)

// fileName is the name of a table's file: schema.table.sql. A table may be called
// anything: what a file cannot be called, and '%' and '.', is written as %2F.
func fileName(schema, table string) string {
	return escape(schema) + "." + escape(table) + extension
}

func escape(name string) string {
	var text strings.Builder
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == '%' || c == '.' {
			fmt.Fprintf(&text, "%%%02X", c)
			continue
		}
		text.WriteByte(c)
	}
	return text.String()
}

// parseFileName undoes fileName.
func parseFileName(file string) (schema, table string, err error) {
	name, isTable := strings.CutSuffix(file, extension)
	left, right, parted := strings.Cut(name, ".")
	if isTable && parted {
		if schema, err = url.PathUnescape(left); err == nil {
			table, err = url.PathUnescape(right)
		}
		if err == nil && fileName(schema, table) == file {
			return schema, table, nil
		}
	}
	return "", "", fmt.Errorf("%q is no file of a table: %w", file, errScript)
}

// bases are what the parent snapshot holds of a service, by path: "schema.sql",
// "tables/public.orders.sql", "tables"; "" is the directory, ".sql" the joined file.
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
