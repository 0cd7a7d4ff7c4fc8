package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/engines/files"
	"holdfast/internal/snapshot"
	"holdfast/internal/tree"
	"holdfast/repo"
)

// verified is the result of "repo check --verify-restore".
type verified struct {
	Snapshot    repo.Name   `json:"snapshot"`
	Entries     uint64      `json:"entries"` // compared
	Bytes       uint64      `json:"bytes"`   // of contents
	Differences []repo.Loss `json:"differences"`
	Missing     []repo.Loss `json:"missing,omitempty"` // what the snapshot itself lacks
	Notes       []string    `json:"notes,omitempty"`
}

// verifyRestore restores a snapshot into a directory of its own, compares every
// entry with the snapshot, content and attributes, and removes it. It touches no
// service.
func (app *env) verifyRestore(ctx context.Context, r *opened, o CheckOptions) (err error) {
	s, err := app.resolve(ctx, r, o.VerifyRestore)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(o.Scratch, "holdfast-verify-*")
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, files.Clear(scratch), os.Remove(scratch)) }()
	into := filepath.Join(scratch, "restored")
	entries, err := chosen(ctx, r, s, RestoreOptions{})
	if err != nil {
		return err
	}
	t := newTracker(app.now())
	t.Expect(2 * s.Root.Size)
	stop := app.show(t)
	defer stop()
	content := snapshot.Counted(r, t)
	staged, err := extractNew(ctx, content, entries, into)
	if err != nil {
		return fmt.Errorf("restore %s into %s: %w", s.Name, into, err)
	}
	v := comparison{ctx: ctx, content: r.Repository, progress: t, result: verified{Snapshot: s.Name, Differences: []repo.Loss{},
		Missing: s.Losses(), Notes: staged.Notes}, spared: map[string]bool{}}
	for _, l := range staged.Losses { // such as an owner that only root can give
		v.result.Notes = append(v.result.Notes, l.Path+": "+l.Reason)
		v.spared[l.Path] = true
	}
	for _, e := range entries {
		if err := v.entry(e, e.Name, filepath.Join(into, e.Name)); err != nil {
			return err
		}
	}
	stop()
	for _, n := range v.result.Notes {
		app.console.say("%s", n)
	}
	if err := app.result(v.result, func(w io.Writer) error { return verifiedText(w, v.result) }); err != nil {
		return err
	}
	if n := len(v.result.Differences); n > 0 {
		return fmt.Errorf("%s not restored as the snapshot %s has it", severalAre(n, "thing"), s.Name)
	}
	return incomplete(v.result.Missing, fmt.Sprintf("what %s holds is restored as it was, but %s missing in it", s.Name, severalAre(len(v.result.Missing), "thing")))
}

func verifiedText(w io.Writer, v verified) error {
	for _, d := range v.Differences {
		if _, err := fmt.Fprintf(w, "%s: %s\n", printable(d.Path), d.Reason); err != nil {
			return err
		}
	}
	if len(v.Differences) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "Snapshot %s: %s entries restored and compared, %s of content; no differences\n", v.Snapshot, count(v.Entries), size(v.Bytes))
	return err
}

// comparison compares a tree on disk with a snapshot.
type comparison struct {
	ctx      context.Context
	content  *repo.Repository
	progress *tracker
	result   verified
	spared   map[string]bool // attributes that the restore has said it could not set
}

func (v *comparison) differs(path, format string, args ...any) {
	v.result.Differences = append(v.result.Differences, repo.Loss{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (v *comparison) entry(e tree.Entry, path, at string) error {
	v.result.Entries++
	info, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		v.differs(path, "is not restored")
		return nil
	}
	if err != nil {
		return err
	}
	v.attributes(e, path, at, info)
	switch e.Type {
	case tree.Directory:
		return v.directory(e, path, at)
	case tree.File:
		return v.file(e, path, at)
	}
	return nil
}

func (v *comparison) directory(e tree.Entry, path, at string) error {
	there, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	children := 0
	for child, err := range v.content.Children(v.ctx, e) {
		if err != nil {
			return err
		}
		children++
		if err := v.entry(child, path+"/"+child.Name, filepath.Join(at, child.Name)); err != nil {
			return err
		}
	}
	if len(there) != children {
		v.differs(path, "has %d entries instead of %d", len(there), children)
	}
	return nil
}

var typeBits = map[tree.Type]uint32{tree.Directory: unix.S_IFDIR, tree.File: unix.S_IFREG, tree.Symlink: unix.S_IFLNK,
	tree.FIFO: unix.S_IFIFO, tree.Socket: unix.S_IFSOCK, tree.CharDevice: unix.S_IFCHR, tree.BlockDevice: unix.S_IFBLK}

func (v *comparison) attributes(e tree.Entry, path, at string, info fs.FileInfo) {
	stat := info.Sys().(*syscall.Stat_t) // Lstat's
	if typ := stat.Mode & unix.S_IFMT; typ != typeBits[e.Type] {
		v.differs(path, "is of another type than a %s", e.Type)
		return
	}
	if v.spared[path] {
		return
	}
	if mode := stat.Mode & 0o7777; e.Type != tree.Symlink && mode != uint32(e.Mode) {
		v.differs(path, "has the mode %04o instead of %04o", mode, e.Mode)
	}
	if os.Geteuid() == 0 && (stat.Uid != e.UID || stat.Gid != e.GID) {
		v.differs(path, "belongs to %d:%d instead of %d:%d", stat.Uid, stat.Gid, e.UID, e.GID)
	}
	if changed := time.Unix(stat.Mtim.Sec, stat.Mtim.Nsec); !changed.Equal(e.MTime.Time()) {
		v.differs(path, "was changed %s instead of %s", changed.UTC().Format(time.RFC3339Nano), e.MTime.Time().UTC().Format(time.RFC3339Nano))
	}
	if e.Type == tree.File && info.Size() != int64(e.Size) {
		v.differs(path, "has %d bytes instead of %d", info.Size(), e.Size)
	}
	if e.Type == tree.Symlink {
		if target, err := os.Readlink(at); err != nil || target != e.Target {
			v.differs(path, "points to %q instead of %q", target, e.Target)
		}
	}
	for _, x := range e.Xattrs {
		value := make([]byte, len(x.Value)+1)
		if n, err := unix.Lgetxattr(at, x.Name, value); err != nil || !bytes.Equal(value[:n], x.Value) {
			v.differs(path, "lacks the attribute %s, or has another value of it", x.Name)
		}
	}
}

// file compares contents, both read again: from the disk and from the repository.
func (v *comparison) file(e tree.Entry, path, at string) error {
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	inside := v.content.Open(v.ctx, e)
	defer inside.Close()
	want := tree.FillHoles(e, inside)
	a, b := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, errWant := io.ReadFull(want, a)
		m, errDisk := io.ReadFull(f, b)
		for _, err := range []error{errWant, errDisk} { // before what was read is taken for all there is
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		v.result.Bytes += uint64(n)
		v.progress.Read(n)
		if !bytes.Equal(a[:n], b[:m]) {
			v.differs(path, "has other content")
			return nil
		}
		if errWant != nil {
			return nil
		}
	}
}
