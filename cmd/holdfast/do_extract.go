package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"holdfast/engines"
	"holdfast/engines/files"
	"holdfast/internal/snapshot"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// extract is "snapshot restore --to DIR": plain files, for which neither an
// environment nor its services are needed. A new directory appears whole, or not
// at all; what goes into an empty one that is there appears when all is complete.
func (app *env) extract(ctx context.Context, r *opened, s repo.Listed, o RestoreOptions) error {
	entries, err := chosen(ctx, r, s, o)
	if err != nil {
		return err
	}
	into, err := filepath.Abs(o.To)
	if err != nil {
		return err
	}
	exists, err := isFree(into)
	if err != nil {
		return err
	}
	bytes := uint64(0)
	for _, e := range entries {
		bytes += e.Size
	}
	missing := missingFor(s, o)
	if text := missingText(s.Name, missing); text != "" {
		app.console.warn("%s", text)
	}
	if o.DryRun {
		return errors.Join(app.tellExtracted(entries, bytes, s, into, "would be written to", nil, missing), files.HasRoom(ctx, r, entries, into))
	}
	progress := newTracker(app.now())
	progress.Expect(bytes)
	stop := app.show(progress)
	defer stop()
	extract := extractNew
	if exists {
		extract = files.Extract
	}
	staged, err := extract(ctx, snapshot.Counted(r, progress), entries, into)
	stop()
	if err != nil {
		return err
	}
	reads := r.PackReads()
	if err := app.tellExtracted(entries, bytes, s, into, "written to", &reads, missing); err != nil {
		return err
	}
	losses := missing
	for _, l := range staged.Losses {
		losses = append(losses, repo.Loss{Path: l.Path, Reason: l.Reason})
	}
	for _, n := range staged.Notes {
		app.console.say("%s", n)
	}
	return incomplete(losses, fmt.Sprintf("%s is restored to %s, but not all is as it was", s.Name, into))
}

// chosen returns the entries that --only and --path choose, all of them by default.
func chosen(ctx context.Context, r *opened, s repo.Listed, o RestoreOptions) ([]tree.Entry, error) {
	if o.Subpath != "" {
		e, err := snapshot.Lookup(ctx, r, s.Root, path.Join(o.Only[0], o.Subpath))
		if err != nil {
			return nil, notInSnapshot(err, s, path.Join(o.Only[0], o.Subpath))
		}
		return []tree.Entry{e}, nil
	}
	wanted := map[string]bool{}
	for _, service := range s.Services {
		if len(o.Only) == 0 || slices.Contains(o.Only, service.Name) {
			for _, name := range service.Entries {
				wanted[name] = true
			}
		}
	}
	for _, name := range o.Only {
		if !slices.ContainsFunc(s.Services, func(service repo.Service) bool { return service.Name == name }) {
			return nil, notInSnapshot(fmt.Errorf("%s: %w", name, fs.ErrNotExist), s, name)
		}
	}
	var entries []tree.Entry
	for e, err := range r.Children(ctx, s.Root) {
		if err != nil {
			return nil, err
		}
		if wanted[e.Name] {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// missingFor returns what the snapshot lacks of what is chosen.
func missingFor(s repo.Listed, o RestoreOptions) []repo.Loss {
	var missing []repo.Loss
	for _, service := range s.Services {
		if len(o.Only) == 0 || slices.Contains(o.Only, service.Name) {
			missing = append(missing, snapshot.Missing(s.Snapshot, service.Name, o.Subpath)...)
		}
	}
	return missing
}

// isFree reports whether dir exists, and refuses one that holds anything but a
// fresh disk's lost+found.
func isFree(dir string) (exists bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("--to: %w", err)
	}
	if files.Unfinished(dir) {
		return true, &withHint{usageError("--to %s: another restore into this directory is at work or was killed", dir),
			"if none is at work, remove all that is in it and try again"}
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return true, usageError("--to %s: the directory is not empty; expected a new or an empty one", dir)
		}
	}
	return true, nil
}

// extractNew writes into a directory beside dir, of which there is none, and gives
// it the name at the end. (An empty one that is there may be a mount, or stand
// where nothing can be made beside it.)
func extractNew(ctx context.Context, content engines.Content, entries []tree.Entry, dir string) (staged engines.Staged, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return staged, fmt.Errorf("--to: %w", err)
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".holdfast-*")
	if err != nil {
		return staged, fmt.Errorf("--to: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	if staged, err = files.Extract(ctx, content, entries, partial); err != nil {
		return staged, err
	}
	if err = os.Chmod(partial, 0o755); err != nil {
		return staged, err
	}
	if err = os.Rename(partial, dir); err != nil {
		return staged, fmt.Errorf("give %s its name: %w", dir, err)
	}
	return staged, nil
}

// tellExtracted tells what was written, or would be where there are no reads.
func (app *env) tellExtracted(entries []tree.Entry, bytes uint64, s repo.Listed, into, how string, reads *repo.PackReads, missing []repo.Loss) error {
	doc := struct {
		Snapshot  repo.Name   `json:"snapshot"`
		Directory string      `json:"directory"`
		Entries   []string    `json:"entries"`
		Bytes     uint64      `json:"bytes"`
		Missing   []repo.Loss `json:"missing,omitempty"`
		Read      *uint64     `json:"read_bytes,omitempty"`
		Needed    *uint64     `json:"needed_bytes,omitempty"`
	}{Snapshot: s.Name, Directory: into, Entries: []string{}, Bytes: bytes, Missing: missing}
	for _, e := range entries {
		doc.Entries = append(doc.Entries, e.Name)
	}
	if reads != nil {
		doc.Read, doc.Needed = &reads.Read, &reads.Needed
	}
	return app.result(doc, func(w io.Writer) error {
		for _, e := range entries {
			if _, err := fmt.Fprintf(w, "%s %s %s\n", printable(e.Name), how, filepath.Join(into, e.Name)); err != nil {
				return err
			}
		}
		if reads == nil {
			return nil
		}
		_, err := fmt.Fprintln(w, readText(*reads))
		return err
	})
}
