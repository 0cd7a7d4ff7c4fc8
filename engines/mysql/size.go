package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// extent says of the session's database how many tables it has and what they take on
// the disk: "4 tables, 53 MiB".
func (s *session) extent(ctx context.Context) (string, error) {
	var tables, inFiles int
	var others float64
	err := s.one(ctx, `SELECT COUNT(*), COALESCE(SUM(engine = 'InnoDB'), 0), COALESCE(SUM(IF(engine = 'InnoDB', 0, data_length + index_length)), 0)
		FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type NOT IN ('VIEW', 'SEQUENCE')`, &tables, &inFiles, &others)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d tables", tables)
	if tables == 1 {
		text = "1 table"
	}
	if size, known := s.innodbSize(ctx, inFiles); known {
		text += ", " + humanize.IBytes(size+uint64(others))
	}
	return text, nil
}

// innodbSize is what the files of so many tables take. What information_schema.tables has
// are estimates, which for minutes after rows have come, or a restore, know of none of
// them (measured: 16 KiB of 21 MiB). It is not known to whom PROCESS is not granted, nor
// of tables that share a file, nor where the server's name of the database cannot be told.
func (s *session) innodbSize(ctx context.Context, tables int) (size uint64, known bool) {
	if tables == 0 {
		return 0, true
	}
	prefix, ok := filePrefix(s.current)
	if !ok {
		return 0, false
	}
	sys := "sys_"
	if s.server.mysql {
		sys = ""
	}
	var found, unknown int
	err := s.one(ctx, fmt.Sprintf(`SELECT COUNT(*), COALESCE(SUM(t.space_type <> 'Single' OR COALESCE(f.file_size, 0) = 0), 0), COALESCE(SUM(f.file_size), 0)
		FROM information_schema.innodb_%[1]stables t LEFT JOIN information_schema.innodb_%[1]stablespaces f ON f.space = t.space
		WHERE LEFT(t.name, %[2]d) = %[3]s`, sys, len(prefix), literal(prefix)), &found, &unknown, &size)
	return size, err == nil && found >= tables && unknown == 0
}

// filePrefix is how InnoDB's names of a database's tables begin, where it has only ASCII.
func filePrefix(database string) (string, bool) {
	var b strings.Builder
	for _, c := range []byte(database) {
		switch {
		case c >= 0x80:
			return "", false
		case c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "@%04x", c)
		}
	}
	return b.String() + "/", true
}
