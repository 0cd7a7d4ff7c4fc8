package mysql

import (
	"context"
	"fmt"
	"slices"

	"holdfast/engines"
	"holdfast/engines/dump"
	"holdfast/internal/tree"
)

// Check implements engines.Checker.
func (t *target) Check(ctx context.Context, entries []tree.Entry, content engines.Content, plan *engines.Plan) error {
	parts, err := partsOf(ctx, entries, content)
	if err != nil {
		return fmt.Errorf("service %s: %w", t.service, err)
	}
	objects, err := t.objectsOf(ctx, parts, content)
	if err != nil {
		return err
	}
	if err := t.mayCreate(ctx, objects); err != nil {
		return err
	}
	plan.Emptied, err = dump.Emptied(ctx, content, parts.tables, func(name string) string { return name })
	if err != nil {
		return fmt.Errorf("service %s: %w", t.service, err)
	}
	return nil
}

// unsaved are the current tables of which a snapshot holds no rows.
func (t *target) unsaved(ctx context.Context) ([]string, error) {
	tables, err := t.control.strings(ctx, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_type NOT IN ('VIEW', 'SEQUENCE') ORDER BY BINARY table_name`)
	return slices.DeleteFunc(tables, func(name string) bool { return !engines.Matches(t.schemaOnly, name) }), err
}
