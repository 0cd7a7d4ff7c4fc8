package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"holdfast/internal/environment"
	"holdfast/internal/snapshot"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// show is the action of "snapshot show".
func show(ctx context.Context, app *env, o ShowOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := app.resolve(ctx, r, o.Snapshot)
	if err != nil {
		return err
	}
	doc := struct {
		repo.Listed
		Definition json.RawMessage `json:"definition,omitempty"`
	}{s, json.RawMessage(s.Definition)}
	return app.result(doc, func(w io.Writer) error { return app.showText(w, s) })
}

func (app *env) showText(w io.Writer, s repo.Listed) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("Snapshot", "%s", s.Name)
	line("Created", "%s, in %s, on %s by %s", app.localTime(s.Created), span(s.Took), cmp.Or(s.Host, "an unnamed host"), s.Program)
	line("Environment", "%s of %s, number %d", s.Environment, s.Project, s.Counter)
	if s.Description != "" {
		line("Description", "%s", s.Description)
	}
	if !s.Restore.IsZero() {
		line("Safety", "holds what the restore of %s replaced", s.Restore)
	}
	if !s.Parent.IsZero() {
		line("Parent", "%s", s.Parent)
	}
	line("Consistency", "%s; marks lie %s apart", s.Consistency, brief(s.Skew))
	showHold(line, s.Snapshot)
	line("Size", "%s", amount(s.Stats.Bytes, s.Stats.Files))
	line("Read", "%s; %s were known to be unchanged", size(s.Stats.Read), size(s.Stats.Kept))
	line("Stored anew", "%s, for %s of new content in %s blobs, %s of them as differences",
		size(s.Stats.Stored), size(s.Stats.New), count(s.Stats.Blobs), count(s.Stats.Deltas))
	if s.Damage != nil {
		line("Damaged", "%s lost, as was found %s; what is left can be restored", severalAre(s.Damage.Count(), "path"), app.localTime(s.Damage.At))
	}
	if s.Pinned {
		line("Pinned", "yes")
	}
	if !s.Deleted.IsZero() {
		line("Deleted", "%s; \"holdfast snapshot undelete\" brings it back until a \"holdfast repo gc\" purges it", app.localTime(s.Deleted))
	}
	for _, service := range s.Services {
		app.showService(&b, line, service)
	}
	if err := app.showDefinition(&b, s.Definition); err != nil {
		return fmt.Errorf("the environment's definition in snapshot %s: %w", s.Name, err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// showDefinition writes what the environment consisted of, as holdfast.yaml has it.
func (app *env) showDefinition(b *strings.Builder, definition string) error {
	if definition == "" {
		return nil
	}
	var d environment.Definition
	if err := json.Unmarshal([]byte(definition), &d); err != nil {
		return err
	}
	text, err := d.YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\n%s\n", app.bold("Definition, without secrets"))
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "  %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
	return nil
}

// showHold says what became of the requests meanwhile.
func showHold(line func(string, string, ...any), s *repo.Snapshot) {
	switch {
	case s.Gate == nil:
		line("Requests", "were not held")
		return
	case s.Gate.Broken != "":
		line("Requests", "were not held to the end: %s", s.Gate.Broken)
	default:
		line("Requests", "were held for %s; running ones took %s to finish", brief(s.Held), brief(s.Gate.Drained))
	}
	line("", "%s", holdText(s.Gate))
	if unheld := unheldText(s.Gate); unheld != "" {
		line("Unheld", "%s", unheld)
	}
	if len(s.Gate.Frozen) > 0 {
		line("Frozen", "%s", strings.Join(s.Gate.Frozen, ", "))
	}
	for _, t := range s.Gate.Trouble {
		line("Trouble", "%s", t)
	}
}

func (app *env) showService(b *strings.Builder, line func(string, string, ...any), s repo.Service) {
	b.WriteString("\n")
	line(app.bold(s.Name), "%s", strings.TrimSuffix(s.Engine+", "+s.Server, ", "))
	if len(s.Entries) > 0 {
		line("  holds", "%s: %s", amount(s.Bytes, s.Count), strings.Join(s.Entries, ", "))
	} else {
		line("  holds", "nothing any more; it held %s", amount(s.Bytes, s.Count))
	}
	if s.Subpath != "" {
		line("  partial", "only %s of it", s.Subpath)
	}
	point := app.localTime(s.Marked)
	if s.Position != "" {
		point += ", " + s.Position
	}
	line("  point", "%s, marked in %s", point, brief(s.MarkTook))
	if s.Unheld != "" {
		line("  unheld", "%s", pastGateText(s))
	}
	if s.Rung != "" {
		line("  privileges", "%s", s.Rung)
	}
	for _, w := range s.Warnings {
		line("  warning", "%s", w)
	}
	for _, n := range s.Notes {
		line("  note", "%s", n)
	}
	for _, l := range s.Losses {
		line("  missing", "%s: %s", l.Path, l.Reason)
	}
}

// entryDoc is an entry for people's programs. A name that is no text is given
// as bytes too.
type entryDoc struct {
	Path    string    `json:"path"`
	Bytes   []byte    `json:"path_bytes,omitempty"`
	Type    string    `json:"type"`
	Mode    string    `json:"mode"`
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	User    string    `json:"user,omitempty"`
	Group   string    `json:"group,omitempty"`
	Size    uint64    `json:"size"`
	Entries uint64    `json:"entries,omitempty"`
	MTime   time.Time `json:"mtime"`
	Target  string    `json:"target,omitempty"`
}

func documentOf(at string, e tree.Entry) entryDoc {
	d := entryDoc{Path: at, Type: e.Type.String(), Mode: fmt.Sprintf("%04o", e.Mode), UID: e.UID, GID: e.GID, User: e.User,
		Group: e.Group, Size: e.Size, Entries: e.Entries, MTime: e.MTime.Time(), Target: e.Target}
	if strings.ToValidUTF8(at, "") != at {
		d.Bytes = []byte(at)
	}
	return d
}

// ls is the action of "snapshot ls".
func ls(ctx context.Context, app *env, o LsOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := app.resolve(ctx, r, o.Snapshot)
	if err != nil {
		return err
	}
	at, err := snapshot.Lookup(ctx, r, s.Root, o.Path)
	if err != nil {
		return notInSnapshot(err, s, o.Path)
	}
	docs := []entryDoc{}
	visit := func(path string, e tree.Entry) error {
		if app.flags.JSON {
			docs = append(docs, documentOf(path, e))
			return nil
		}
		return app.lsLine(path, e)
	}
	if err := visitAll(ctx, r, at, o, visit); err != nil {
		return err
	}
	return app.result(docs, func(io.Writer) error { return nil })
}

func visitAll(ctx context.Context, r *opened, at tree.Entry, o LsOptions, visit func(string, tree.Entry) error) error {
	if at.Type != tree.Directory {
		return visit(o.Path, at)
	}
	if o.Recursive {
		for e, err := range snapshot.Walk(ctx, r, at, o.Path) {
			if err != nil {
				return err
			}
			if err := visit(e.Path, e.Entry); err != nil {
				return err
			}
		}
		return nil
	}
	for e, err := range r.Children(ctx, at) {
		if err != nil {
			return err
		}
		if err := visit(path.Join(o.Path, e.Name), e); err != nil {
			return err
		}
	}
	return nil
}

func (app *env) lsLine(at string, e tree.Entry) error {
	name := printable(at)
	switch e.Type {
	case tree.Directory:
		name += "/"
	case tree.Symlink:
		name += " -> " + printable(e.Target)
	}
	_, err := fmt.Fprintf(app.stdout, "%s %-8s %-8s %10s  %s  %s\n", modeText(e), owner(e.User, e.UID), owner(e.Group, e.GID),
		size(e.Size), e.MTime.Time().In(app.zone).Format("2006-01-02 15:04"), name)
	return err
}

func owner(name string, id uint32) string { return cmp.Or(printable(name), fmt.Sprint(id)) }

// modeText writes type and permissions as ls(1) does.
func modeText(e tree.Entry) string {
	text := []byte("?rwxrwxrwx")
	text[0] = "?d-lpscb"[e.Type]
	for i := range 9 {
		if e.Mode>>(8-i)&1 == 0 {
			text[1+i] = '-'
		}
	}
	for i, special := range []byte("sst") { // set-user-id, set-group-id, sticky
		if e.Mode>>(11-i)&1 == 1 {
			at := 3 * (i + 1)
			if text[at] == '-' {
				special -= 'a' - 'A'
			}
			text[at] = special
		}
	}
	return string(text)
}

// cat is the action of "snapshot cat".
func cat(ctx context.Context, app *env, o CatOptions) error {
	r, err := app.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := app.resolve(ctx, r, o.Snapshot)
	if err != nil {
		return err
	}
	e, err := snapshot.Lookup(ctx, r, s.Root, o.Path)
	if err != nil {
		return notInSnapshot(err, s, o.Path)
	}
	if e.Type != tree.File {
		return fmt.Errorf("%s is a %s; only files can be written to stdout", o.Path, e.Type)
	}
	content := r.Repository.Open(ctx, e)
	_, err = io.Copy(app.stdout, tree.FillHoles(e, content))
	return errors.Join(err, content.Close())
}
