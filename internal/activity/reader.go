package activity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/process"
)

// Latest returns what is known of one activity, 20 hex digits; the error wraps
// fs.ErrNotExist where there is none. An operation whose process is gone, or which
// has been silent for minutes, is Interrupted: a word for people, since a clock
// that is wrong makes it wrong, not a ground for decisions.
func Latest(ctx context.Context, objects Objects, id string, now time.Time) (Record, error) {
	if !validID(id) {
		return Record{}, fmt.Errorf("activity %q is not 20 hex digits: %w", id, ErrInvalid)
	}
	self, err := process.This()
	if err != nil {
		return Record{}, err
	}
	return latest(ctx, objects, id, self, now)
}

// All yields all activities in order of their names; with an error, those that
// cannot be read, and goes on. Only a listing that fails ends it, or the context.
func All(ctx context.Context, objects Objects, now time.Time) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		self, err := process.This()
		if err != nil {
			yield(Record{}, err)
			return
		}
		ids := map[string]bool{}
		for name, err := range objects.List(ctx, "activities") {
			if err != nil {
				yield(Record{}, err)
				return
			}
			if parts := strings.Split(name, "/"); len(parts) == 3 && validID(parts[1]) {
				ids[parts[1]] = true
			}
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			record, err := latest(ctx, objects, id, self, now)
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if ctx.Err() != nil {
				yield(Record{}, context.Cause(ctx)) // once, and not for each that is left
				return
			}
			if !yield(record, err) {
				return
			}
		}
	}
}

func latest(ctx context.Context, objects Objects, id string, self process.Process, now time.Time) (Record, error) {
	series := numbered{objects, "activities/" + id}
	number, data, err := series.newest(ctx)
	if err != nil {
		return Record{}, err
	}
	if number == 0 {
		return Record{}, fmt.Errorf("activity %s: %w", id, fs.ErrNotExist)
	}
	var r Record
	if err := decode(data, &r); err != nil {
		return Record{}, fmt.Errorf("read %s: %w", series.name(number), err)
	}
	if r.Activity != id {
		return Record{}, fmt.Errorf("read %s: it is the record of activity %s: %w", series.name(number), r.Activity, ErrInvalid)
	}
	if r.State == InProgress && (self.Gone(r.Process) || now.Sub(r.Updated) >= staleAfter) {
		r.State = Interrupted
	}
	return r, nil
}

// Gone reports whether the operation's process has certainly ended, or has said so
// itself. Only on the machine where it ran can the first be told.
func (r *Record) Gone() bool {
	if r.State != InProgress && r.State != Interrupted {
		return true
	}
	self, err := process.This()
	return err == nil && self.Gone(r.Process)
}
