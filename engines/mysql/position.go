package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// position reads where the mark stands in the binary log.
func (s *source) position(ctx context.Context) error {
	if s.control.server.mysql {
		return s.lockedPosition(ctx)
	}
	file, position, err := s.readers[0].snapshotStatus(ctx)
	if err != nil {
		return err
	}
	if file == "" {
		return s.countRows(ctx)
	}
	s.marked = stand{file: file, position: position}
	s.point.Position = fmt.Sprintf("%s:%d", file, position)
	var gtid sql.NullString
	err = s.readers[0].one(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS(%s, %d)", literal(file), position), &gtid)
	if err == nil && gtid.String != "" {
		s.point.Position += " " + gtid.String
	}
	return err
}

// snapshotStatus reads where the session's transaction stands; file is "" where there
// is no log. MariaDB keeps that for each snapshot; no privilege is needed.
func (s *session) snapshotStatus(ctx context.Context) (file string, position uint64, err error) {
	status := map[string]string{}
	err = s.each(ctx, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'", func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		status[strings.ToLower(name)] = value
		return err
	})
	if file = status["binlog_snapshot_file"]; err != nil || file == "" {
		return "", 0, err
	}
	if position, err = strconv.ParseUint(status["binlog_snapshot_position"], 10, 64); err != nil {
		return "", 0, fmt.Errorf("binlog_snapshot_position: %w", err)
	}
	return file, position, nil
}

// lockedPosition reads where MySQL stands. That is the position of the transactions
// only while nobody can commit: a user who may not see to that gets none.
func (s *source) lockedPosition(ctx context.Context) error {
	if s.point.Rung != rungReload {
		return nil
	}
	local, err := s.logStatus(ctx)
	if err != nil || local.File == "" {
		return err
	}
	s.marked = stand{file: local.File, position: local.Position}
	s.point.Position = fmt.Sprintf("%s:%d", local.File, local.Position)
	if local.GTID != "" {
		s.point.Position += " " + strings.ReplaceAll(local.GTID, "\n", "")
	}
	return nil
}

// logStatus is where MySQL stands in its binary log.
type logStatus struct {
	GTID     string `json:"gtid_executed"`
	File     string `json:"binary_log_file"` // "" where the log is off, or the user may not know
	Position uint64 `json:"binary_log_position"`
}

func (s *source) logStatus(ctx context.Context) (local logStatus, err error) {
	var text []byte
	err = s.control.one(ctx, "SELECT local FROM performance_schema.log_status", &text)
	if n := number(err); n == errTableAccess || n == errNeedPrivilege {
		return local, nil // BACKUP_ADMIN is enough for the lock, and no more
	}
	if err != nil {
		return local, err
	}
	if err := json.Unmarshal(text, &local); err != nil {
		return local, fmt.Errorf("%s at %s: performance_schema.log_status: %w", s.product(), s.address, err)
	}
	return local, nil
}
