package postgres

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/tree"
)

// largePiece is how much of a large object is read at a time, in bytes.
const largePiece = 1 << 20

// setSequences is the stream that brings sequences to where they stand.
func (out *output) setSequences() string {
	var text strings.Builder
	text.WriteString("-- Where the sequences stand\n\n")
	for _, s := range out.sequences {
		fmt.Fprintf(&text, "SELECT pg_catalog.setval(%s, %s);\n", literal(quote(out.shown(s.schema))+"."+quote(s.name)), s.value)
	}
	return text.String()
}

// largeObjects sends the content of all large objects; what they are called, whose
// they are and who may use them is among the definitions.
func (out *output) largeObjects(ctx context.Context) (e tree.Entry, err error) {
	read, write := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error {
		w := bufio.NewWriterSize(write, copyBuffer)
		err := out.writeLargeObjects(ctx, w)
		if err == nil {
			err = w.Flush()
		}
		_ = write.CloseWithError(err) // never fails
		return err
	})
	e, err = out.put(ctx, largeFile, read)
	if err != nil {
		cancel()
	}
	_ = read.CloseWithError(io.ErrClosedPipe) // never fails
	if writing := group.Wait(); err == nil {
		err = writing
	}
	return e, err
}

func (out *output) writeLargeObjects(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, "-- Content of large objects\n\n"); err != nil {
		return err
	}
	if out.schemas() != nil {
		return nil // they are no part of a schema
	}
	reader := out.readers[0]
	oids, err := reader.rows(ctx, "SELECT oid FROM pg_largeobject_metadata ORDER BY oid")
	if err != nil {
		return err
	}
	for _, row := range oids {
		for offset := int64(0); ; offset += largePiece {
			piece, err := reader.value(ctx, fmt.Sprintf("SELECT lo_get(%s, %d, %d)", row[0], offset, largePiece))
			if err != nil {
				return fmt.Errorf("large object %s: %w", row[0], err)
			}
			if piece == `\x` {
				break
			}
			if _, err := fmt.Fprintf(w, "SELECT pg_catalog.lo_put(%s, %d, '%s');\n", row[0], offset, piece); err != nil {
				return err
			}
			if len(piece) < 2+2*largePiece {
				break
			}
		}
	}
	return nil
}
