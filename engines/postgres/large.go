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

// largeClosed refuses a user to whom large objects are closed: pg_read_all_data does not
// open them, up to PostgreSQL 18 at least.
func (s *source) largeClosed(ctx context.Context) error {
	if s.schemas() != nil {
		return nil // they are no part of a schema
	}
	mayRead := `(SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR current_setting('lo_compat_privileges')::boolean OR pg_has_role(lomowner, 'USAGE')
		OR EXISTS (SELECT FROM aclexplode(lomacl) WHERE privilege_type = 'SELECT' AND (grantee = 0 OR pg_has_role(grantee, 'USAGE')))`
	if s.control.version >= 180000 {
		mayRead = "has_largeobject_privilege(m.oid, 'SELECT')"
	}
	rows, err := s.control.rows(ctx, `SELECT quote_ident(rolname), rolsuper, min(m.oid::bigint), sum(count(*)) OVER () FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = lomowner
		WHERE NOT (`+mayRead+`) GROUP BY 1, 2 ORDER BY 3`)
	if err != nil || len(rows) == 0 {
		return err
	}
	role := quote(s.user)
	var cures []string
	for _, row := range rows {
		if row[1] == "t" { // to be a superuser would be too much
			cures = append(cures, fmt.Sprintf("GRANT SELECT ON LARGE OBJECT %s TO %s, and so on for all that are of %s", row[2], role, row[0]))
		} else {
			cures = append(cures, fmt.Sprintf("GRANT %s TO %s", row[0], role))
		}
	}
	return fmt.Errorf("user %s at PostgreSQL %s cannot read %s large objects in database %s (the first is %s), which pg_read_all_data does not open: %s",
		s.user, s.address, rows[0][3], s.database, rows[0][2], strings.Join(cures, "; "))
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
