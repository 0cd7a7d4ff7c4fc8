package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// fork is a server's answer to a request for synchronisation: from then on, what
// it will send is fixed.
type fork struct {
	id     string // of the server's history
	offset int64  // in it
}

func (f fork) String() string { return fmt.Sprintf("%s:%d", f.id, f.offset) }

// synchronise makes the connection that of a replica and returns once the server
// has forked. It is bounded by ctx alone. valkey is the server's version, "" for Redis:
// since 9.1 Valkey writes for a replica of an unknown version what 7.2 could read, and
// fails where the data are newer.
//
// The server writes +FULLRESYNC in the moment in which it forks, between two
// commands of others (startBgsaveForReplication in replication.c).
func (c *conn) synchronise(ctx context.Context, valkey string) (f fork, err error) {
	capabilities := [][]any{
		{"REPLCONF", "capa", "eof", "capa", "psync2"},
		{"REPLCONF", "rdb-only", "1"}, // since 6.2.6; without it changes follow, unread
	}
	if valkey != "" {
		capabilities = append(capabilities, []any{"REPLCONF", "version", valkey})
	}
	for _, capability := range capabilities {
		if _, err := c.do(ctx, capability...); err != nil && code(err) != "ERR" {
			return f, err
		}
	}
	command := []any{"PSYNC", "?", "-1"}
	var refused error
	err = c.during(ctx, func() error {
		c.send(command)
		if err := c.w.Flush(); err != nil {
			return err
		}
		line, err := c.patientLine()
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "-") {
			refused = c.explain(command, replyError(line[1:]))
			return nil
		}
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "+FULLRESYNC" {
			return errProtocol
		}
		f.id = words[1]
		f.offset, err = strconv.ParseInt(words[2], 10, 64)
		return err
	})
	return f, errors.Join(err, refused)
}

// patientLine reads a line after any number of empty ones, by which the server
// keeps a connection alive.
func (c *conn) patientLine() (string, error) {
	for {
		line, err := c.line()
		if line != "" || err != nil {
			return line, err
		}
	}
}

// markSize is the length of what ends a dump whose size was not known.
const markSize = 40

// dump is what the server sends after it has forked: an io.Reader that ends where
// the dump does, or with errors.
type dump struct {
	c     *conn
	begun bool
	mark  string // or
	left  int64  // bytes, where mark is ""
}

// Read implements io.Reader. It may give the mark out, too.
func (d *dump) Read(p []byte) (int, error) {
	if !d.begun {
		if err := d.begin(); err != nil {
			return 0, err
		}
		d.begun = true
	}
	if d.mark != "" {
		return d.c.r.Read(p)
	}
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.c.r.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	return n, err
}

func (d *dump) begin() error {
	line, err := d.c.patientLine()
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(line, "$")
	if mark, unknown := strings.CutPrefix(rest, "EOF:"); ok && unknown && len(mark) == markSize {
		d.mark = mark
		return nil
	}
	d.left, err = strconv.ParseInt(rest, 10, 64)
	if !ok || err != nil || d.left < 0 {
		return fmt.Errorf("what the server sends: %w", errDump)
	}
	return nil
}

// finish is called with what the decoder has read beyond the dump's end: there
// must be the mark, or nothing.
func (d *dump) finish(rest io.Reader) error {
	if d.mark == "" {
		n, err := rest.Read(make([]byte, 1))
		if n > 0 || !errors.Is(err, io.EOF) {
			return fmt.Errorf("bytes follow its end: %w", errDump)
		}
		return nil
	}
	var mark [markSize]byte
	if _, err := io.ReadFull(rest, mark[:]); err != nil {
		return err
	}
	if string(mark[:]) != d.mark {
		return fmt.Errorf("what follows its end: %w", errDump)
	}
	return nil
}
