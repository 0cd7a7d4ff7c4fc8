package activity

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Forget removes the records of operations that ended before a time, or were last
// heard of before it, and returns how many there were. One that cannot be read does
// not keep the others; it is joined into the error.
func Forget(ctx context.Context, objects Objects, before, now time.Time) (forgotten int, err error) {
	return forget(ctx, objects, now, func(r Record) bool {
		if r.State == Interrupted {
			return r.Updated.Before(before)
		}
		return r.State != InProgress && r.Finished.Before(before)
	})
}

// ForgetEnded is Forget for all that have said that they ended.
func ForgetEnded(ctx context.Context, objects Objects, now time.Time) (forgotten int, err error) {
	return forget(ctx, objects, now, func(r Record) bool { return !r.Finished.IsZero() })
}

func forget(ctx context.Context, objects Objects, now time.Time, over func(Record) bool) (forgotten int, err error) {
	var unread []error
	for record, err := range All(ctx, objects, now) {
		if err != nil {
			unread = append(unread, err)
			continue
		}
		if !over(record) {
			continue
		}
		if err := removeAll(ctx, objects, "activities/"+record.Activity); err != nil {
			return forgotten, err
		}
		forgotten++
	}
	return forgotten, errors.Join(unread...)
}

// removeAll removes the numbers of a series, in their order: as long as there are
// any, the highest is among them.
func removeAll(ctx context.Context, objects Objects, prefix string) error {
	var names []string
	for name, err := range objects.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, prefix+"/") {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := objects.Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
