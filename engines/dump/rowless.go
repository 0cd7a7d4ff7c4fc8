package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// maxRowless bounds the stream of a table without rows, in bytes: some settings, and the
// table's name.
const maxRowless = 2 << 10

// Rowless reports whether a table's stream ends with the comment that says why it holds
// no rows. Streams that are too long for one are not read.
func Rowless(ctx context.Context, content engines.Content, table tree.Entry, said string) (bool, error) {
	if table.Size > maxRowless {
		return false, nil
	}
	file := content.Open(ctx, table)
	text, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("%s/%s: %w", TablesDir, table.Name, err)
	}
	return bytes.HasSuffix(text, []byte("\n-- "+said+"\n")), nil
}
