package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
)

// position reads where the mark stands in the binary log.
func (s *source) position(ctx context.Context) error {
	if s.control.server.mysql {
		return s.logStatus(ctx)
	}
	return s.snapshotStatus(ctx)
}

// snapshotStatus reads where the first transaction stands. MariaDB keeps that for
// each snapshot; no privilege is needed.
func (s *source) snapshotStatus(ctx context.Context) error {
	status := map[string]string{}
	err := s.readers[0].each(ctx, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'", func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		status[strings.ToLower(name)] = value
		return err
	})
	if err != nil || status["binlog_snapshot_file"] == "" {
		return err
	}
	s.point.Position = status["binlog_snapshot_file"] + ":" + status["binlog_snapshot_position"]
	var gtid sql.NullString
	err = s.readers[0].one(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %s)", literal(status["binlog_snapshot_file"]),
		status["binlog_snapshot_position"]), &gtid)
	if err == nil && gtid.String != "" {
		s.point.Position += " " + gtid.String
	}
	return err
}

// logStatus reads where MySQL stands. That is the position of the transactions only
// while nobody can commit: a user who may not see to that gets none.
func (s *source) logStatus(ctx context.Context) error {
	if s.point.Rung != rungReload {
		return nil
	}
	var text []byte
	err := s.control.one(ctx, "SELECT local FROM performance_schema.log_status", &text)
	if n := number(err); n == errTableAccess || n == errNeedPrivilege {
		return nil // BACKUP_ADMIN is enough for the lock, and no more
	}
	if err != nil {
		return err
	}
	var local struct {
		GTID     string `json:"gtid_executed"`
		File     string `json:"binary_log_file"`
		Position uint64 `json:"binary_log_position"`
	}
	if err := json.Unmarshal(text, &local); err != nil {
		return fmt.Errorf("%s at %s: performance_schema.log_status: %w", s.product(), s.address, err)
	}
	if local.File == "" {
		return nil // the binary log is off
	}
	s.point.Position = fmt.Sprintf("%s:%d", local.File, local.Position)
	if local.GTID != "" {
		s.point.Position += " " + strings.ReplaceAll(local.GTID, "\n", "")
	}
	return nil
}
