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

// largeHeader begins the stream of large objects; without any it is all of it.
const largeHeader = "-- Large objects\n\n"

// largeObjects sends all large objects. Versions of pg_dump disagree about the
// section they belong to.
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
	e, err = out.Put(ctx, largeFile, read)
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
	if _, err := io.WriteString(w, largeHeader); err != nil {
		return err
	}
	if out.schemas() != nil {
		return nil // they are no part of a schema
	}
	reader := out.readers[0]
	objects, err := reader.rows(ctx, "SELECT oid, obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata ORDER BY oid")
	if err != nil {
		return err
	}
	for _, row := range objects {
		create := fmt.Sprintf("SELECT pg_catalog.lo_create(%s);\n", row[0])
		if row[1] != "" {
			create += fmt.Sprintf("COMMENT ON LARGE OBJECT %s IS %s;\n", row[0], literal(row[1]))
		}
		if _, err := io.WriteString(w, create); err != nil {
			return err
		}
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

// largePrivileges says whose large objects are, and who may use them.
func (out *output) largePrivileges(ctx context.Context) (string, error) {
	if out.schemas() != nil {
		return "", nil
	}
	rows, err := out.control.rows(ctx, `SELECT format('ALTER LARGE OBJECT %s OWNER TO %I', oid, pg_get_userbyid(lomowner)), oid, 0 FROM pg_largeobject_metadata
		UNION ALL SELECT format('GRANT %s ON LARGE OBJECT %s TO %s%s', a.privilege_type, m.oid, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
			CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), m.oid, 1
		FROM pg_largeobject_metadata m, aclexplode(m.lomacl) a WHERE a.grantee <> m.lomowner ORDER BY 2, 3, 1`)
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(row[0] + ";\n")
	}
	return text.String(), err
}
