package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	if plan.Warnings, err = t.warnOfDefiners(ctx, objects, plan.Warnings); err != nil {
		return err
	}
	plan.Emptied, err = dump.Emptied(ctx, content, parts.tables, func(name string) string { return name })
	if err != nil {
		return fmt.Errorf("service %s: %w", t.service, err)
	}
	return nil
}

// warnOfDefiners adds to warnings which of the snapshot's objects get another definer, and
// what lets them keep theirs.
func (t *target) warnOfDefiners(ctx context.Context, objects []object, warnings []string) ([]string, error) {
	mine, err := t.definers(ctx)
	if err != nil {
		return nil, err
	}
	changed := slices.DeleteFunc(slices.Clone(objects), mine)
	if len(changed) == 0 {
		return warnings, nil
	}
	line, err := t.control.grantLine(ctx, strings.Join(t.control.server.asAnybody(), ", "), "")
	return append(warnings, fmt.Sprintf("%s; as they are they stay with %s", t.redefined(changed), line)), err
}

// unsaved are the current tables of which a snapshot holds no rows.
func (t *target) unsaved(ctx context.Context) ([]string, error) {
	tables, err := t.control.strings(ctx, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_type NOT IN ('VIEW', 'SEQUENCE') ORDER BY BINARY table_name`)
	return slices.DeleteFunc(tables, func(name string) bool { return !engines.Matches(t.schemaOnly, name) }), err
}
