package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"holdfast/engines"
	"holdfast/internal/tree"
)

// source captures one database. Between Mark and Send it holds one read
// transaction, or none where Mark has sent the pages already.
type source struct {
	configured string // the path as it was given
	entryName  string
	live       bool
	unheld     bool  // see engines.Service
	inside     int64 // bytes up to which a database is read in Mark
	patience   time.Duration
	now        func() time.Time

	peeked  *os.File // see peek
	db      *database
	file    fs.FileInfo // what was at the path when db was opened
	witness *witness    // nil where nobody is held
	notes   []string
	sent    *tree.Entry // what Mark has sent already
	empty   bool        // what was sent is
	marked  bool
}

// Prepare implements engines.Source.
func (s *source) Prepare(ctx context.Context, _ engines.Sink) (err error) {
	defer s.name("open", &err)
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.db.read(ctx, func() error {
		h, err := s.look(ctx)
		if err != nil || !h.wal && s.live {
			return err
		}
		if h.wal {
			if err := usedElsewhere(s.db.path); err != nil {
				return err
			}
		}
		return s.examine(ctx)
	})
}

// open connects to the database.
func (s *source) open(ctx context.Context) error {
	path, err := locate(s.configured)
	if err != nil {
		return err
	}
	if err := s.peek(path); err != nil {
		return err
	}
	if s.file, err = os.Stat(path); err != nil {
		return err
	}
	if s.db, err = openReader(ctx, path, s.patience); err != nil {
		return err
	}
	if !s.unheld {
		s.witness, err = openWitness(ctx, s.db)
	}
	return err
}

// replaced reports whether another file is at the path by now than the one that is
// open, as after mv new.sqlite shop.sqlite: then nobody writes to ours any more.
func (s *source) replaced() (bool, error) {
	path, err := locate(s.configured)
	if err != nil {
		return false, err
	}
	now, err := os.Stat(path)
	return err == nil && !os.SameFile(now, s.file), err
}

// name makes an error say what was done to which database.
func (s *source) name(operation string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("%s database %s: %w", operation, s.configured, *err)
	}
}

// peek refuses a database that would be spoiled by being read. A user who may
// write to the directory but not to a database in WAL mode that nobody has open
// would leave a -wal and -shm that its owner cannot write to. This is the one
// time that the file is opened otherwise than by SQLite: before it is, and closed
// after.
func (s *source) peek(path string) error {
	if err := unix.Access(path, unix.R_OK); err != nil {
		return fmt.Errorf("this user may not read it: %w", err)
	}
	if unix.Access(path, unix.W_OK) == nil || unix.Access(filepath.Dir(path), unix.W_OK) != nil {
		return nil
	}
	if there, err := exists(path + "-shm"); err != nil || there {
		return err
	}
	var err error
	if s.peeked, err = os.Open(path); err != nil {
		return err
	}
	var page [headerSize]byte
	if _, err := s.peeked.ReadAt(page[:], 0); err != nil {
		return nil // too short for a header: let SQLite say what it is
	}
	if h, err := parseHeader(page[:]); err == nil && h.wal {
		return errors.New("it is in WAL mode and nobody has it open: this user, who may not write to it, " +
			"would leave files beside it that spoil it for its owner; read it as its owner or as root")
	}
	return nil
}

// look reads the header, and refuses what Mark would have to refuse.
func (s *source) look(ctx context.Context) (header, error) {
	h, _, err := s.db.header(ctx)
	if err != nil {
		return header{}, err
	}
	size, err := s.db.shape(ctx)
	if err != nil {
		return header{}, err
	}
	if !h.wal && !s.live && size.bytes() > s.inside {
		return header{}, fmt.Errorf("it has %s and no write-ahead log, so reading it at one instant would lock its writers "+
			"out for long: switch it to WAL once (PRAGMA journal_mode=WAL), or use --live", humanize.IBytes(uint64(size.bytes())))
	}
	return h, nil
}

// examine notes damage while the database is still there to be repaired; a
// restore of it would be refused.
func (s *source) examine(ctx context.Context) error {
	found, err := s.db.check(ctx, "quick_check")
	if err != nil {
		return err
	}
	if found.damage != "" {
		s.notes = append(s.notes, fmt.Sprintf("%s is damaged and was saved as it is; restoring it will be refused: %s",
			s.entryName, found.damage))
	}
	return nil
}

// Mark implements engines.Source.
func (s *source) Mark(ctx context.Context, sink engines.Sink) (_ engines.Point, err error) {
	defer s.name("mark", &err)
	if s.db == nil {
		return engines.Point{}, errors.New("it is not prepared")
	}
	defer func() {
		if err != nil {
			s.release(ctx)
		}
	}()
	h, err := s.begin(ctx)
	if err != nil {
		return engines.Point{}, err
	}
	point := engines.Point{At: s.now(), Position: h.position(), Server: h.server()}
	if h.wal || s.live {
		return point, nil
	}
	e, err := s.put(ctx, sink)
	if err != nil {
		return engines.Point{}, err
	}
	s.sent = &e
	s.release(ctx)
	return point, nil
}

// maxReplaced is how many new databases in a row are gone after.
const maxReplaced = 3

// begin begins the read transaction, on the database that is at the path then: since
// Prepare, which may be long ago, it may have become another.
func (s *source) begin(ctx context.Context) (header, error) {
	for range maxReplaced {
		h, err := s.fix(ctx)
		if err != nil {
			return header{}, err
		}
		if replaced, err := s.replaced(); err != nil || !replaced {
			return h, err
		}
		if err := s.Close(); err != nil {
			return header{}, err
		}
		s.notes = []string{s.entryName + " was replaced by another file after it had been looked at, so this one was not checked for damage"}
		if err := s.open(ctx); err != nil {
			return header{}, errors.Join(err, s.Close())
		}
	}
	return header{}, errors.New("it is replaced by another file over and over")
}

// fix begins the read transaction on the open database.
func (s *source) fix(ctx context.Context) (header, error) {
	s.release(ctx)
	s.sent = nil
	if err := s.witness.mark(ctx); err != nil {
		return header{}, err
	}
	if err := s.db.do(ctx, "BEGIN"); err != nil {
		return header{}, err
	}
	s.marked = true
	return s.look(ctx) // the first read is what fixes the point
}

// Send implements engines.Source.
func (s *source) Send(ctx context.Context, sink engines.Sink) (_ engines.Result, err error) {
	defer s.name("send", &err)
	if s.sent == nil {
		if !s.marked {
			return engines.Result{}, errors.New("it is not marked")
		}
		e, err := s.put(ctx, sink)
		s.release(ctx)
		if err != nil {
			return engines.Result{}, err
		}
		s.sent = &e
	}
	return engines.Result{Entries: []tree.Entry{*s.sent}, Empty: s.empty, Notes: s.notes}, nil
}

// put sends all pages that the open transaction sees.
func (s *source) put(ctx context.Context, sink engines.Sink) (tree.Entry, error) {
	info, err := os.Stat(s.db.path)
	if err != nil {
		return tree.Entry{}, err
	}
	pages, err := s.db.readPages(ctx)
	if err != nil {
		return tree.Entry{}, err
	}
	defer pages.Close()
	s.empty = s.db.isEmpty(ctx)
	base, _ := sink.Parent(s.entryName)
	e, err := sink.Put(ctx, fileEntry(s.entryName, info), base.Content, pages)
	if err != nil {
		return tree.Entry{}, err
	}
	if !pages.whole() {
		return tree.Entry{}, errors.New("it was not read to its end")
	}
	return e, nil
}

// release ends the read transaction.
func (s *source) release(ctx context.Context) {
	if s.marked {
		s.db.rollback(ctx)
		s.marked = false
	}
}

// Close implements engines.Source.
func (s *source) Close() error {
	err := errors.Join(s.witness.close(), s.db.close())
	if s.peeked != nil {
		err = errors.Join(err, s.peeked.Close())
	}
	s.db, s.witness, s.peeked, s.marked = nil, nil, nil, false
	return err
}

// fileEntry describes a database file, without its content.
func fileEntry(name string, info fs.FileInfo) tree.Entry {
	stat := info.Sys().(*syscall.Stat_t)
	e := tree.Entry{
		Name:  name,
		Type:  tree.File,
		Mode:  stat.Mode & 0o7777,
		UID:   stat.Uid,
		GID:   stat.Gid,
		MTime: tree.TimeOf(info.ModTime()),
		CTime: tree.Time{Sec: stat.Ctim.Sec, Nsec: uint32(stat.Ctim.Nsec)},
		Inode: stat.Ino,
	}
	if u, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10)); err == nil {
		e.User = u.Username
	}
	if g, err := user.LookupGroupId(strconv.FormatUint(uint64(stat.Gid), 10)); err == nil {
		e.Group = g.Name
	}
	return e
}
