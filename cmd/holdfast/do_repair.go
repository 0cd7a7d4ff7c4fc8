package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"holdfast/engines/files"
	"holdfast/internal/storage"
	"holdfast/repo"
	"holdfast/repo/repair"
)

// repairRepository is the action of "repo repair".
func repairRepository(ctx context.Context, app *env, o RepairOptions) error {
	var opening repair.Opening
	r, err := app.openAs(ctx, func(store *storage.Local) (_ storage.Storage, err error) {
		opening, err = repair.Locked(ctx, store, o.DryRun)
		return opening.Store, err
	})
	if err != nil {
		return err
	}
	defer r.Close()
	var read atomic.Int64
	stop := app.watch(func() progress { return progress{Step: "repairing", Bytes: uint64(read.Load())} })
	defer stop()
	report, err := repair.Run(ctx, r.Repository, repair.Options{DryRun: o.DryRun, Structure: o.Structure, GiveUp: o.GiveUp, Now: app.now,
		Divisible: func(engine string) bool { return engine == files.Engine.Name }, Progress: func(n int64) { read.Add(n) }})
	stop()
	if err != nil {
		return err
	}
	if report.Uncovered != nil {
		app.console.warn("parity is not up to date: %v", report.Uncovered)
	}
	report.Mended = append(opening.Mended, report.Mended...)
	report.SetAside = append(opening.SetAside, report.SetAside...)
	if err := app.result(report, func(w io.Writer) error {
		_, err := io.WriteString(w, printableLines(app.repairText(report)))
		return err
	}); err != nil {
		return err
	}
	if n := len(report.Unread); n > 0 {
		return &withHint{fmt.Errorf("%s cannot be read and could not be mended, snapshots or their records", several(n, "object")),
			"put the named objects back from a copy of the repository; if there is none, \"holdfast repo repair --give-up-snapshots\" takes them out of the way"}
	}
	_, vanished, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	if len(vanished) > 0 {
		return &withHint{errors.Join(vanished...), afterVanished}
	}
	if len(report.Lost) > 0 {
		hint := "\"holdfast snapshot create\" stores anew what is still there to be saved, and then \"holdfast repo repair\" finds whole again what that has healed"
		if o.DryRun {
			hint = "\"holdfast repo repair\" sets aside what is damaged; then " + hint
		}
		return &withHint{&incompleteError{fmt.Sprintf("%s lost something; what is left can be restored", several(len(report.Lost), "snapshot"))}, hint}
	}
	return nil
}

// repairText tells a report in lines.
func (app *env) repairText(report *repair.Report) []string {
	would := ""
	if report.DryRun {
		would = "would be "
	}
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, m := range report.Mended {
		what := several(m.Blocks, "damaged block") + " of it"
		if m.Gone {
			what = "it was gone, and"
		}
		say("%s: %s %smended by parity", m.Object, what, would)
	}
	for _, object := range report.Worn {
		say("%s: was damaged, and %smade anew", object, would)
	}
	for _, p := range report.Salvaged {
		say("%s: %s: %s %ssaved, %d have another copy, %d cannot be read", p.Pack, p.Reason, several(p.Saved, "blob"), would, p.Other, p.Lost)
	}
	if report.Index != nil {
		say("the index %smade anew from %d packs", would, report.Index.Packs)
	}
	for _, a := range report.SetAside {
		say("%s: %s: %sset aside", a.Object, a.Reason, would)
	}
	lines = append(lines, app.lostText(report.Lost)...)
	for _, n := range report.Whole {
		say("snapshot %s is whole again", n)
	}
	for _, a := range report.Unread {
		say("%s: %s", a.Object, a.Reason)
	}
	if report.Nothing() {
		say("Nothing to repair in %s packs", count(uint64(report.Packs)))
	}
	return lines
}

// lostText names what is lost; once where several snapshots have lost the same, as
// they do whose content is the same.
func (app *env) lostText(lost []repair.Lost) (lines []string) {
	key := func(s repair.Lost) string {
		return fmt.Sprintf("%q %q %q %d", s.Project, s.Environment, s.Damage.Lost, s.Count())
	}
	alike := map[string][]repair.Lost{}
	for _, s := range lost {
		alike[key(s)] = append(alike[key(s)], s)
	}
	for _, s := range lost {
		all := alike[key(s)]
		if all == nil {
			continue // told with the first of them
		}
		delete(alike, key(s))
		which := fmt.Sprintf("snapshot %s of %s (%s), taken %s, has", s.Snapshot, s.Environment, s.Project, app.localTime(s.Created))
		if last := all[len(all)-1]; len(all) > 1 {
			var names []repo.Name
			for _, s := range all {
				names = append(names, s.Snapshot)
			}
			which = fmt.Sprintf("snapshots %s of %s (%s), taken %s to %s, have each", repo.Enumerate(names), s.Environment, s.Project,
				app.localTime(s.Created), app.localTime(last.Created))
		}
		lines = append(lines, fmt.Sprintf("%s lost %s:", which, several(s.Count(), "path")))
		lines = append(lines, strings.Split(strings.TrimPrefix(lossLines(s.Damage.Lost), "\n"), "\n")...)
	}
	return lines
}

func printableLines(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(printable(l) + "\n")
	}
	return b.String()
}
