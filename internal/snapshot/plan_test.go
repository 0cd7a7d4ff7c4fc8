package snapshot

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// reading is a target that looks into the snapshot before it is restored.
type reading struct {
	engines.Target
	say func(content string) ([]string, error)
}

func (r reading) Check(ctx context.Context, entries []tree.Entry, content engines.Content, plan *engines.Plan) error {
	file := content.Open(ctx, entries[0])
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	plan.Warnings, err = r.say(string(data))
	return err
}

func TestATargetMayReadTheSnapshotForThePlan(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	plan := func(say func(string) ([]string, error)) ([]Replacement, error) {
		r := &Restoration{Creation: w.creation("staging"), Snapshot: s, Place: PlaceOf(w.dir, "shop", "staging")}
		defer r.Close()
		plain := r.Parts[0].Engine.Target
		r.Parts[0].Engine.Target = func(s engines.Service, token string) (engines.Target, error) {
			target, err := plain(s, token)
			return reading{target, say}, err
		}
		return r.Plan(t.Context(), "00000000000000000000")
	}
	said, err := plan(func(content string) ([]string, error) { return []string{content[:13]}, nil })
	if err != nil || strings.Join(said[0].Warnings, "") != "SQLite format" {
		t.Errorf("warnings: %+v, %v", said, err)
	}
	if _, err := plan(func(string) ([]string, error) { return nil, errors.New("not here") }); err == nil || !strings.Contains(err.Error(), "not here") {
		t.Errorf("refused, and planned: %v", err)
	}
}

// unreadable is a target of which nothing could be saved once it is replaced.
type unreadable struct{ engines.Target }

func (u unreadable) Plan(ctx context.Context, entries []tree.Entry) (engines.Plan, error) {
	plan, err := u.Target.Plan(ctx, entries)
	plan.Unreadable = errors.New("somebody else's table")
	return plan, err
}

// What could not be saved is replaced only where it need not be.
func TestWhatCannotBeSavedIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	w.fill("master", "day1")
	s := w.create("master")
	for _, safety := range []bool{true, false} {
		r := &Restoration{Creation: w.creation("staging"), Snapshot: s, Place: PlaceOf(w.dir, "shop", "staging"), Safety: safety}
		plain := r.Parts[0].Engine.Target
		r.Parts[0].Engine.Target = func(s engines.Service, token string) (engines.Target, error) {
			target, err := plain(s, token)
			return unreadable{target}, err
		}
		_, err := r.Plan(t.Context(), "00000000000000000000")
		r.Close()
		if refused := err != nil && strings.Contains(err.Error(), "could not be saved") && strings.Contains(err.Error(), "somebody else's table"); refused != safety || !safety && err != nil {
			t.Errorf("with a safety snapshot %v: %v", safety, err)
		}
	}
}
