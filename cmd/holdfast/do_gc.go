package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"holdfast/internal/activity"
	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/gc"
)

const (
	// silentAfter is for how long a session's operation must not have been heard of
	// for a collection to end it: dozens of its heartbeats.
	silentAfter = time.Hour
	// unheardAfter is the same for a session without any record of its operation, of
	// another machine.
	unheardAfter = 24 * time.Hour
	// activitiesFor is how long the record of an operation that has ended is kept.
	activitiesFor = 90 * 24 * time.Hour
)

// afterVanished is what to do about snapshots that have vanished.
const afterVanished = "put the lost objects back from a copy of the repository, or with \"holdfast repo repair\" from parity; or, if they are lost for good, \"holdfast repo gc --accept-loss\""

// collect is the action of "repo gc".
func collect(ctx context.Context, app *env, o CollectOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	var copied atomic.Int64
	var step atomic.Pointer[string]
	stop := app.watch(func() progress {
		p := progress{Bytes: uint64(copied.Load())}
		if s := step.Load(); s != nil {
			p.Step = *s
		}
		return p
	})
	defer stop()
	options := gc.Options{Now: app.now, Grace: o.Grace, Settle: o.Settle, Wait: o.Wait,
		MaxRepack: o.MaxRepack, BaseRetention: o.Bases, Erase: o.Erase, AcceptLoss: o.AcceptLoss, DryRun: o.DryRun,
		Silent: func(ctx context.Context, a repo.Announced) (bool, error) { return app.silent(ctx, r, a) },
		Progress: func(what string, bytes int64) {
			step.Store(&what)
			copied.Add(bytes)
		}}
	report, err := gc.Run(ctx, r.Repository, options)
	if errors.Is(err, storage.ErrFull) && app.makeRoom(ctx, r) {
		report, err = gc.Run(ctx, r.Repository, options)
	}
	if err == nil && !o.DryRun {
		if err := r.Replenish(ctx, report.Stored.Bytes); err != nil {
			app.console.warn("the reserve was left as it is: %v", err)
		}
		if _, unread := activity.Forget(ctx, r.Activities(), app.now().Add(-activitiesFor), app.now()); unread != nil {
			app.console.warn("records of operations that are over were left: %v", unread)
		}
	}
	stop()
	switch {
	case errors.Is(err, gc.ErrVanished):
		return &withHint{err, afterVanished}
	case errors.Is(err, storage.ErrFull):
		return &withHint{err, "\"holdfast repo gc --grace 0\" frees at once what nobody needs anything of, which takes no room; where that is nothing, delete snapshots, or make some MB of room"}
	case errors.Is(err, gc.ErrBusy):
		return &withHint{err, "wait until it is done"}
	case err != nil:
		return err
	}
	if err := app.result(report, func(w io.Writer) error {
		_, err := io.WriteString(w, printableLines(app.collectText(report)))
		return err
	}); err != nil {
		return err
	}
	if !o.DryRun {
		app.keepParity(ctx, r)
	}
	return nil
}

// makeRoom removes what is worth less than room to begin with, where others have taken that
// of the reserve: the records of operations that are over. It reports whether there were any.
func (app *env) makeRoom(ctx context.Context, r *opened) bool {
	forgotten, _ := activity.ForgetEnded(ctx, r.Activities(), app.now()) // what cannot be read stays
	if forgotten > 0 {
		app.console.warn("the repository is full: the records of %s that are over were removed to make room", several(forgotten, "operation"))
	}
	return forgotten > 0
}

// silent decides which session a collection ends, for everybody: one whose process
// has ended, as can be told on its machine, whose operation has, or was not heard of
// for long. If that is wrong, because a clock is or because it has slept, its run is
// lost, and no data.
func (app *env) silent(ctx context.Context, r *opened, a repo.Announced) (bool, error) {
	if a.Gone() {
		return true, nil
	}
	now := app.now()
	record, err := activity.Latest(ctx, r.Activities(), a.Name.String(), now)
	_, damaged := errors.AsType[*repo.DamagedError](err)
	switch {
	case damaged || errors.Is(err, fs.ErrNotExist) || errors.Is(err, activity.ErrInvalid):
		return now.Sub(a.Started) >= unheardAfter, nil
	case err != nil:
		return false, err
	case record.Gone():
		return true, nil
	}
	return now.Sub(record.Updated) >= silentAfter && now.Sub(a.Started) >= silentAfter, nil
}

// collectText tells a report in lines.
func (app *env) collectText(report *gc.Report) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	freed, removed, condemned, purged, copied, accepted := "Freed", "removed", "Condemned", "Purged", "Copied", "Accepted"
	if report.DryRun {
		freed, removed, condemned, purged, copied, accepted = "Would free", "remove", "Would condemn", "Would purge", "Would copy", "Would accept"
	}
	for _, a := range report.Accepted {
		which := "a snapshot whose name nothing tells"
		if !a.Snapshot.IsZero() {
			which = "snapshot " + a.Snapshot.String()
		}
		say("%s the loss of %s, number %d of %s (%s)", accepted, which, a.Number, a.Environment, a.Project)
	}
	if r := report.Freed; r.Packs > 0 {
		say("%s %s: %s %s packs%s", freed, size(r.Bytes), removed, count(uint64(r.Packs)), gainText(r, ", and lies in other packs"))
	}
	if n := len(report.Purged); n > 0 {
		say("%s for good: %s", purged, several(n, "deleted snapshot"))
	}
	waits := len(report.Pending) > 0 || report.DryRun
	if r := report.Condemned; r.Packs > 0 && waits { // else they are gone already
		say("%s %s packs of %s%s", condemned, count(uint64(r.Packs)), size(r.Bytes), gainText(r, ""))
	}
	if report.Copied > 0 {
		twice := ""
		if waits {
			twice = "; it is there twice until the old packs go"
		}
		say("%s %s that snapshots need to new packs%s", copied, size(report.Copied), twice)
	}
	if n := report.Unnamed.Packs; n > 0 {
		say("Left %s that the index does not name: what snapshots miss lies there, and \"holdfast repo repair\" takes it up again", several(n, "pack"))
	}
	if report.Full {
		say("The repository was full, so what needs much room was left: run it again")
	}
	switch n := len(report.Ended); {
	case n > 3:
		say("Ended %d interrupted operations: what they had stored and nobody needs is collected", n)
	default:
		for _, n := range report.Ended {
			say("Ended the interrupted operation %s: what it had stored and nobody needs is collected", n)
		}
	}
	if d := report.Deleted; d.Snapshots > 0 {
		say("%s can still be taken back; the first \"repo gc\" after %s purges the oldest, and one a grace period later gives its space back",
			several(d.Snapshots, "deleted snapshot"), app.localTime(d.Due))
	}
	for _, p := range report.Pending {
		say("The first \"repo gc\" after %s frees %s: it removes %s", app.localTime(p.Due), size(p.Bytes), several(p.Packs, "pack"))
		for _, a := range p.Waits {
			say("  once %s %s on %s (process %d) has ended, which began before", a.Kind, a.Name, a.Process.Host, a.Process.PID)
		}
	}
	if len(lines) == 0 {
		say("Nothing to free")
	}
	if report.Stored.Packs > 0 {
		say("Stored now: %s in %s packs", size(report.Stored.Bytes), count(uint64(report.Stored.Packs)))
	}
	return lines
}

// gainText says of packs of which something is needed how much smaller the repository
// becomes, all in all, when they go; where is what is needed.
func gainText(r gc.Removal, where string) string {
	if r.Gain >= r.Bytes {
		return ""
	}
	return fmt.Sprintf("; %s of that is needed%s, so the gain is %s", size(r.Bytes-r.Gain), where, size(r.Gain))
}
