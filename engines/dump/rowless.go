package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// maxRowless bounds the stream of a table without rows, in bytes: some settings, and the
// table's name.
const maxRowless = 2 << 10

// SaidLeftOut is what the comment says that ends the stream of a table whose rows were
// left out, as configured.
const SaidLeftOut = "rows left out"

// Emptied returns the labels of those tables, by their streams, whose rows were left out:
// a restore leaves them empty. They are sorted.
func Emptied[Name comparable](ctx context.Context, content engines.Content, tables map[Name]tree.Entry, label func(Name) string) ([]string, error) {
	var labels []string
	for name, stream := range tables {
		left, err := leftOut(ctx, content, stream)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", TablesDir, stream.Name, err)
		}
		if left {
			labels = append(labels, label(name))
		}
	}
	slices.Sort(labels)
	return labels, nil
}

// leftOut looks at the end of a stream. Those that are too long to be of a table without
// rows are not read.
func leftOut(ctx context.Context, content engines.Content, table tree.Entry) (bool, error) {
	if table.Size > maxRowless {
		return false, nil
	}
	file := content.Open(ctx, table)
	text, err := io.ReadAll(file)
	return bytes.HasSuffix(text, []byte("\n-- "+SaidLeftOut+"\n")), errors.Join(err, file.Close())
}
