package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"holdfast/internal/snapshot"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// diff is the action of "snapshot diff".
func diff(ctx context.Context, app *env, o DiffOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	found, err := app.resolveAll(ctx, r, o.From, o.To)
	if err != nil {
		return err
	}
	from, to := found[0], found[1]
	type change struct {
		Path string              `json:"path"`
		Kind snapshot.ChangeKind `json:"change"`
		Old  *entryDoc           `json:"old,omitempty"`
		New  *entryDoc           `json:"new,omitempty"`
	}
	docs := []change{}
	counts := map[snapshot.ChangeKind]int{}
	for c, err := range snapshot.Diff(ctx, r, from.Root, to.Root) {
		if err != nil {
			return err
		}
		counts[c.Kind]++
		if app.flags.JSON {
			docs = append(docs, change{c.Path, c.Kind, documentOrNil(c.Path, c.Old), documentOrNil(c.Path, c.New)})
			continue
		}
		if _, err := fmt.Fprintln(app.stdout, changeLine(c)); err != nil {
			return err
		}
	}
	app.console.say("%d added, %d removed, %d changed, %d with other attributes only",
		counts[snapshot.Added], counts[snapshot.Removed], counts[snapshot.Modified], counts[snapshot.Touched])
	return app.result(docs, func(io.Writer) error { return nil })
}

func documentOrNil(at string, e tree.Entry) *entryDoc {
	if e.Type == 0 {
		return nil
	}
	d := documentOf(at, e)
	return &d
}

func changeLine(c snapshot.Change) string {
	sign := map[snapshot.ChangeKind]string{snapshot.Added: "+", snapshot.Removed: "-", snapshot.Modified: "M", snapshot.Touched: "a"}[c.Kind]
	name := printable(c.Path)
	if c.Old.Type == tree.Directory || c.New.Type == tree.Directory {
		name += "/"
	}
	if c.Kind == snapshot.Modified && c.Old.Size != c.New.Size {
		name += fmt.Sprintf("  (%s -> %s)", size(c.Old.Size), size(c.New.Size))
	}
	return sign + " " + name
}

// find is the action of "snapshot find".
func find(ctx context.Context, app *env, o FindOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	all, _, err := app.snapshots(ctx, r)
	if err != nil {
		return err
	}
	project, name := "", ""
	if !o.All {
		if project, name, err = r.scope(all); err != nil {
			return err
		}
	}
	type hit struct {
		Snapshot repo.Name `json:"snapshot"`
		Created  time.Time `json:"created"` // of the snapshot
		entryDoc
	}
	docs := []hit{}
	found := 0
	for _, s := range slices.Backward(all) {
		if !s.Deleted.IsZero() || !o.All && (s.Project != project || s.Environment != name) {
			continue
		}
		for e, err := range snapshot.Walk(ctx, r, s.Root, "") {
			if err != nil {
				return err
			}
			if !matches(o.Pattern, e.Path) {
				continue
			}
			found++
			if app.flags.JSON {
				docs = append(docs, hit{s.Name, s.Created, documentOf(e.Path, e.Entry)})
			} else if _, err := fmt.Fprintf(app.stdout, "%s  %s  %s/%s  %10s  %s  %s\n", s.Name, app.localTime(s.Created), s.Project, s.Environment,
				size(e.Size), e.MTime.Time().In(app.zone).Format("2006-01-02 15:04"), printable(e.Path)); err != nil {
				return err
			}
		}
	}
	if found == 0 {
		app.console.say("Nothing is called %s", o.Pattern)
	}
	return app.result(docs, func(io.Writer) error { return nil })
}

// matches compares a pattern with a slash with the whole path, any other with
// its last element.
func matches(pattern, at string) bool {
	subject := path.Base(at)
	if strings.Contains(pattern, "/") {
		subject = at
	}
	ok, err := path.Match(pattern, subject)
	return err == nil && ok
}
